"""What fine-tuning does with batch normalisation: the policies, and the exact statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import Ramp, Vectors, assert_same_weights, same, training, values, vector_split

from kft.backbone import Backbone, layer_stages
from kft.engine.callbacks.recalibrate import PASS_SIZE, mixed_batches, recalibration
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.layers.inference_mode import InferenceMode
from kft.phase import Phase
from kft.recipe.optimizer import Sgd
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeFrom, UnfreezeNone
from kft.task import assemble


class Block(keras.layers.Layer):
    """A dense layer with batch normalisation and dropout, hidden from the graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(6, name="inner")
        self.norm = keras.layers.BatchNormalization(momentum=0.9, name="inner_norm")
        self.drop = keras.layers.Dropout(0.5)

    def call(self, inputs):
        return self.drop(self.norm(self.dense(inputs)))


def nested_task(batch_norm, augment=False):
    """A bottom with batch norm, and a skip connection over two blocks that hide theirs."""
    keras.utils.set_random_seed(0)
    splits = Ramp(input=Vectors(claims_to_augment=augment)).load(0)
    inputs = keras.Input((8,))
    x = keras.layers.Dense(6, name="bottom")(inputs)
    x = skip = keras.layers.BatchNormalization(name="bottom_norm")(x)
    x = Block(name="middle")(x)
    x = keras.Sequential([Block(name="top"), keras.layers.ReLU()])(x)
    model = keras.Model(inputs, keras.layers.Add()([x, skip]))
    backbone = Backbone("nested", model, layer_stages(model), batch_norm)
    return assemble(backbone, Classifier(dropout=0.5), splits.target, splits.input), splits


def norms_of(task):
    """The batch normalisations, input side first."""
    found = [
        layer
        for layer in task.backbone.model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    return sorted(found, key=lambda norm: norm.name != "bottom_norm")


def statistics(norm):
    return [norm.moving_mean, norm.moving_variance]


def phase(name="only", **settings):
    defaults = {"epochs": 1, "optimizer": Sgd(learning_rate=0.05), "unfreeze": UnfreezeAll()}
    return Phase(name=name, **{**defaults, **settings})


UPPER = UnfreezeFrom(stage="inner")


def test_the_upper_stages_begin_inside_the_first_block():
    task, _ = nested_task("train")

    chosen = UPPER.choose(task.backbone)

    assert len(norms_of(task)) == 3
    assert [stage.name for stage in chosen] == ["inner", "inner"]


def test_only_the_statistics_of_unfrozen_stages_follow_the_batches():
    task, splits = nested_task("train")
    bottom, *upper = norms_of(task)
    before_bottom = values(bottom.variables)
    before = [values(statistics(norm)) for norm in upper]

    train(training(task, splits), [phase(unfreeze=UPPER)])

    assert all(same(bottom.variables, before_bottom))
    for norm, old in zip(upper, before, strict=True):
        assert same(statistics(norm), old) == [False, False]


def test_no_statistics_move_in_a_head_phase():
    task, splits = nested_task("train", augment=True)
    before = values(task.backbone.model.variables)

    (result,) = train(training(task, splits), [phase(unfreeze=UnfreezeNone())])

    assert not result.features_kept
    assert all(same(task.backbone.model.variables, before))


@pytest.mark.parametrize("policy", ["train", "recalibrate"])
def test_kept_activations_give_the_weights_and_statistics_that_the_whole_model_gives(policy):
    """A skip connection crosses the boundary, and the last batch is uneven."""
    trained = []
    for augment in (False, True):
        task, splits = nested_task(policy, augment)
        (result,) = train(training(task, splits), [phase(epochs=2, unfreeze=UPPER)])
        trained.append((result, values(task.model.variables)))

    assert_same_weights(*trained)
    kept, whole = (result for result, _ in trained)
    assert kept.trained_parameters == whole.trained_parameters
    for a, b in zip(kept.epochs, whole.epochs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=1e-5)


def test_batch_norm_in_training_is_what_keras_computes_and_dropout_stays_off():
    task, splits = nested_task("train")
    task.backbone.train_only(task.backbone.stages)
    inputs = tf.stack([splits.train.fetch(i) for i in range(6)])
    backbone = task.model.get_layer("backbone")
    bottom = norms_of(task)[0]
    old = [np.array(value) for value in statistics(bottom)]
    dense = task.backbone.model.get_layer("bottom")(inputs).numpy()

    first, second = (backbone(inputs, training=True).numpy() for _ in range(2))

    np.testing.assert_allclose(first, second, atol=1e-6)
    assert not np.allclose(first, backbone(inputs, training=False), atol=1e-2)
    expected = 0.99**2 * old[0] + (1 - 0.99**2) * dense.mean(axis=0)
    np.testing.assert_allclose(bottom.moving_mean, expected, atol=1e-6)


def test_nothing_is_left_on_a_layer_that_followed_a_batch():
    task, splits = nested_task("train")
    task.backbone.train_only(task.backbone.stages)

    task.model.get_layer("backbone")(tf.zeros((2, 8)), training=True)
    recalibration(task.model, splits.train)()

    assert not any("call" in vars(norm) for norm in norms_of(task))
    assert [norm.momentum for norm in norms_of(task)] == [0.99, 0.9, 0.9]


def test_recalibrated_statistics_of_the_first_layer_are_those_of_all_examples():
    task, _ = nested_task("recalibrate")
    task.backbone.train_only(task.backbone.stages)
    split = vector_split(2 * PASS_SIZE + 9)
    inputs = tf.stack([split.fetch(i) for i in range(split.size)])
    before = task.backbone.model.get_layer("bottom")(inputs).numpy()

    recalibration(task.model, split)()

    mean, variance = statistics(norms_of(task)[0])
    np.testing.assert_allclose(mean, before.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(variance, before.var(axis=0), rtol=1e-5)
    assert [norm.momentum for norm in norms_of(task)] == [0.99, 0.9, 0.9]


def test_recalibrated_statistics_do_not_depend_on_what_they_were():
    found = []
    for shift in (0.0, 5.0):
        task, splits = nested_task("recalibrate")
        task.backbone.train_only(task.backbone.stages)
        for norm in norms_of(task):
            norm.moving_mean.assign(norm.moving_mean + shift)
        recalibration(task.model, splits.train)()
        found.append([values(statistics(norm)) for norm in norms_of(task)])

    assert str(found[0]) == str(found[1])


def test_what_is_validated_has_the_recalibrated_statistics():
    task, splits = nested_task("recalibrate")
    bottom = norms_of(task)[0]
    before = values(bottom.variables)
    (result,) = train(training(task, splits), [phase(unfreeze=UPPER)])
    trained = values(task.model.variables)

    recalibration(task.model, splits.train)()

    assert all(same(bottom.variables, before))
    for a, b in zip(task.model.variables, trained, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    task.model.compile(loss=task.head.loss(task.target))
    inputs = np.stack([splits.validation.fetch(i) for i in range(splits.validation.size)])
    labels = np.eye(3)[splits.validation.labels]
    loss = task.model.evaluate(inputs, labels, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(result.epochs[-1]["val_loss"], abs=1e-5)


def test_the_batches_of_a_recalibration_mix_the_classes_and_are_even():
    split = vector_split(PASS_SIZE + 2)

    sizes = [len(batch) for batch in mixed_batches(split)]

    assert sizes == [33, 33]
    first = next(iter(mixed_batches(split))).numpy()
    in_order = np.stack([split.fetch(i) for i in range(33)])
    assert not np.array_equal(first, in_order)


def test_the_policy_survives_saving_a_model(tmp_path):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    inputs = keras.Input((8,))
    saved = keras.Model(inputs, InferenceMode(model, True)(inputs))
    saved.save(tmp_path / "model.keras")

    again = keras.saving.load_model(tmp_path / "model.keras")

    assert again.layers[-1].trains_batch_norm
