"""What an example of each class counts in the loss, and what each of several labels."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight
from tiny import TARGET, Tags, Vectors, tiny_task, training, values, vector_split

from kft.data import Target
from kft.engine.class_weights import weigh
from kft.engine.train import train
from kft.errors import ConfigError
from kft.heads.multilabel import Multilabel
from kft.phase import Phase
from kft.pipeline.batches import Order, training_batches
from kft.recipe.optimizer import Adam
from kft.recipe.unfreeze import UnfreezeNone


def test_balanced_weights_make_every_class_count_the_same():
    split = vector_split(8).take([0, 3, 6, 1, 2])

    weights = weigh(split, TARGET, "balanced").weights

    totals = [weights[split.labels == number].sum() for number in range(3)]
    assert totals == pytest.approx([5 / 3] * 3)
    assert weights.mean() == pytest.approx(1.0)


def test_given_weights_multiply_those_of_the_data():
    split = replace(vector_split(3), weights=np.array([1, 2, 3], "float32"))

    weights = weigh(split, TARGET, {"high": 10.0}).weights

    assert weights.tolist() == [1, 2, 30]


def test_weights_for_an_unknown_class_are_refused():
    with pytest.raises(ConfigError, match="no class 'hihg'. Did you mean 'high'"):
        weigh(vector_split(3), TARGET, {"hihg": 2.0})


def test_weights_need_classes():
    with pytest.raises(ConfigError, match="value target, which has no classes"):
        weigh(vector_split(3), Target("value", ("x",)), "balanced")


def test_a_label_that_is_given_a_weight_counts_so_much_where_an_example_has_it():
    splits = Tags().load(0)
    split = replace(splits.train, weights=np.arange(22, dtype="float32"))

    weights = weigh(split, splits.target, {"old": 3.0}).weights

    has = split.labels.copy()
    has[:, [0, 2]] = 0
    np.testing.assert_array_equal(weights, split.weights[:, None] * np.where(has, 3, 1))


def test_balanced_labels_are_weighed_as_scikit_learn_weighs_two_classes():
    splits = Tags().load(0)

    weights = weigh(splits.train, splits.target, "balanced").weights

    for has, weight in zip(splits.train.labels.T, weights.T, strict=True):
        expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=has)
        np.testing.assert_allclose(weight, expected[has.astype(int)], rtol=1e-6)
    assert weights.mean() == pytest.approx(1)


def test_the_loss_of_weighed_labels_is_that_of_tensorflow_with_these_weights_of_positives():
    splits = Tags().load(0)
    weighed = weigh(splits.train, splits.target, {"old": 3.0, "odd": 0.5})
    logits = np.random.default_rng(0).normal(size=(22, 3)).astype("float32")

    loss = Multilabel().loss(splits.target)(weighed.labels, tf.sigmoid(logits), weighed.weights)

    each = tf.nn.weighted_cross_entropy_with_logits(
        weighed.labels, logits, np.array([1, 3, 0.5], "float32")
    )
    assert float(loss) == pytest.approx(float(tf.reduce_mean(each)), rel=1e-5)


def test_without_class_weights_all_labels_of_an_example_have_its_weight():
    splits = Tags().load(0)
    split = replace(splits.train, weights=np.arange(22, dtype="float32"))

    batch = next(iter(training_batches(split, splits.target, Order(0, 0, 1, 22), None)))

    assert batch[2].shape == (22, 1)
    assert sorted(batch[2][:, 0].numpy()) == [*range(22)]


def trained(claims, **settings):
    """The weights of a head that learned weighed labels, and the records of its epochs."""
    splits = Tags(input=Vectors(claims_to_augment=claims)).load(0)
    task = tiny_task(splits, Multilabel(hidden=(5,), dropout=0.0))
    phase = Phase(
        name="head",
        epochs=2,
        optimizer=Adam(learning_rate=0.01),
        unfreeze=UnfreezeNone(),
        **settings,
    )
    how = training(task, splits, class_weights="balanced", monitor="micro_f1")
    (result,) = train(how, [phase])
    return result, values(task.head_model.variables)


def test_weighed_labels_count_the_same_on_kept_features_and_in_parts_of_a_batch():
    kept, kept_weights = trained(claims=False, batch_size=12)
    whole, whole_weights = trained(claims=True, batch_size=4, accumulate_steps=3)

    assert (kept.features_kept, whole.features_kept) == (True, False)
    for a, b in zip(kept_weights, whole_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    for a, b in zip(kept.epochs, whole.epochs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=1e-5)
