"""Mixing examples: what is mixed, in which shares, when, and always the same."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import TARGET, Ramp, Texts, TinyWords, Vectors, tiny_task, training, vector_split

from kft.engine.train import train
from kft.errors import ConfigError
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.pipeline.batches import Order, example_seeds, training_batches
from kft.pipeline.mix import Mix, beta, blend, combine, mix_of, paste
from kft.recipe.optimizer import Sgd
from kft.recipe.unfreeze import UnfreezeNone
from kft.task import assemble


def phase(name="only", **settings):
    defaults = {"epochs": 4, "optimizer": Sgd(), "unfreeze": UnfreezeNone()}
    return Phase(name=name, **{**defaults, **settings})


def seeds_of(size, epoch=0):
    return example_seeds(3, tf.constant(epoch, tf.int64), tf.range(size, dtype=tf.int64))


def quarters(shares, seeds):
    """The first two of eight numbers, whatever share is asked for."""
    return tf.tile(tf.constant([[True] * 2 + [False] * 6]), [tf.shape(seeds)[0], 1])


def mixed(mixup=0.0, cutmix=0.0, until=9, epochs=1, split=None):
    """All batches of some epochs."""
    mix = Mix(mixup, cutmix, until, quarters)
    batches = training_batches(split or vector_split(10), TARGET, Order(5, 0, epochs, 5), None, mix)
    return [[part.numpy() for part in batch] for batch in batches]


def test_blending_keeps_the_share_of_each_and_takes_the_rest_from_its_neighbour():
    inputs, kept = tf.constant([[0.0, 8.0], [4.0, 0.0]]), tf.constant([0.75, 0.5])

    found, shares = blend(inputs, kept)

    np.testing.assert_allclose(found, [[1.0, 6.0], [2.0, 4.0]])
    np.testing.assert_array_equal(shares, kept)


def test_blended_whole_numbers_are_rounded_and_keep_their_dtype():
    inputs = tf.constant([[0, 255], [255, 255]], tf.uint8)

    found, _ = blend(inputs, tf.constant([0.75, 0.1]))

    assert found.dtype == tf.uint8
    np.testing.assert_array_equal(found, [[64, 255], [26, 255]])


def test_pasting_takes_a_region_and_the_share_kept_is_what_is_left_of_the_area():
    inputs = tf.constant([[1] * 8, [2] * 8], tf.uint8)

    found, kept = paste(inputs, quarters(None, inputs))

    np.testing.assert_array_equal(found, [[2, 2] + [1] * 6, [1, 1] + [2] * 6])
    np.testing.assert_allclose(kept, [0.75, 0.75])


def test_labels_and_weights_are_mixed_in_the_same_shares():
    labels, weights = tf.constant([[1.0, 0.0], [0.0, 1.0]]), tf.constant([1.0, 3.0])
    kept = tf.constant([0.75, 0.5])

    np.testing.assert_allclose(combine(labels, kept), [[0.75, 0.25], [0.5, 0.5]])
    np.testing.assert_allclose(combine(weights, kept), [1.5, 2.0])


def test_a_batch_is_mixed_with_the_shares_that_its_seeds_draw():
    inputs, labels = tf.random.normal((3, 8), seed=1), tf.eye(3)

    found, found_labels, _ = Mix(0.4, 0.0, 9, quarters).batch(
        seeds_of(3), inputs, labels, tf.ones(3)
    )

    kept = np.diag(found_labels)
    expected = kept[:, None] * inputs + (1 - kept)[:, None] * np.roll(inputs, 1, axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(np.sum(found_labels, axis=1), 1.0, atol=1e-6)
    assert len(set(kept.tolist())) == 3


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_mean_and_variance_of_the_beta_distribution(alpha):
    shares = beta(seeds_of(20_000), alpha).numpy()

    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.01)


def test_a_tiny_alpha_keeps_all_or_nothing():
    shares = beta(seeds_of(1000), 1e-4).numpy()

    assert ((shares < 0.01) | (shares > 0.99)).mean() > 0.99
    assert shares.mean() == pytest.approx(0.5, abs=0.1)


def test_the_same_seed_mixes_the_same_and_another_epoch_otherwise():
    first, second = mixed(mixup=0.4, epochs=2), mixed(mixup=0.4, epochs=2)

    for a, b in zip(first, second, strict=True):
        for part, again in zip(a, b, strict=True):
            np.testing.assert_array_equal(part, again)
    assert not np.allclose(first[0][1].max(axis=1), first[2][1].max(axis=1))


def test_the_last_epochs_are_those_of_a_run_without():
    plain = list(training_batches(vector_split(10), TARGET, Order(5, 0, 3, 5), None))

    found = mixed(mixup=1.0, until=2, epochs=3)

    for number, (a, b) in enumerate(zip(found, plain, strict=True)):
        equal = [np.allclose(x, y, atol=1e-6) for x, y in zip(a, b, strict=True)]
        assert equal == ([True] * 3 if number >= 4 else [False, False, True])


def test_of_both_each_batch_has_one():
    """What is pasted here keeps three quarters of each; what is blended, a share of its own."""
    batches = mixed(mixup=1.0, cutmix=1.0, epochs=8)

    pasted = [bool(np.isin(labels, [0.0, 0.25, 0.75, 1.0]).all()) for _, labels, _ in batches]
    assert 2 < sum(pasted) < 14


def test_a_last_batch_of_one_example_is_left_as_it_is():
    _, (inputs, labels, _) = mixed(mixup=1.0, split=vector_split(6))

    assert inputs.shape == (1, 8)
    np.testing.assert_allclose(labels.max(), 1.0, atol=1e-6)


def test_a_phase_mixes_until_its_last_epochs():
    assert mix_of(phase(), Vectors(), 3) is None
    assert mix_of(phase(mixup=0.2, mix_off_epochs=1), Vectors(), 3).until == 6


def test_a_phase_that_mixes_keeps_no_features_of_training():
    splits = Ramp().load(0)
    task = tiny_task(splits, Classifier(dropout=0.0))
    phases = [
        phase("plain", epochs=1),
        phase("mixed", epochs=1, mixup=0.4),
        phase("again", epochs=1),
    ]

    results = train(training(task, splits), phases)

    assert [result.features_kept for result in results] == [True, False, True]
    assert np.isfinite(results[1].epochs[-1]["val_loss"])


def test_an_input_without_regions_refuses_cutmix_before_the_first_step():
    splits = Ramp().load(0)
    task = tiny_task(splits)

    with pytest.raises(ConfigError, match=r"phases\[0\]\.cutmix: the input .* has no regions"):
        train(training(task, splits), [phase(cutmix=1.0)])


def test_words_cannot_be_mixed():
    splits = Texts().load(0)
    backbone = TinyWords().load(splits.input.spec)
    task = assemble(backbone, Classifier(), splits.target, splits.input)

    with pytest.raises(ConfigError, match=r"phases\[0\]\.mixup: .* of dtype string"):
        train(training(task, splits), [phase(mixup=0.2)])
