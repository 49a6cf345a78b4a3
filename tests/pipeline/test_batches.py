from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tiny import TARGET, Shaken, vector_split

from kft.pipeline.batches import (
    Order,
    changed,
    evaluation_batches,
    example_seeds,
    shuffled,
    training_batches,
    unchanged_batches,
)
from kft.pipeline.mix import Mix


def order_of(seed, epoch, size=50):
    batches = shuffled(size, seed, tf.constant(epoch, tf.int64), 7)
    return [int(index) for batch in batches for index in batch]


def test_an_epoch_is_a_permutation_that_seed_and_epoch_decide():
    orders = [order_of(1, 0), order_of(1, 0), order_of(1, 1), order_of(2, 0)]

    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != orders[3]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_smallest_splits_are_permuted_too(size):
    assert sorted(order_of(7, 3, size)) == list(range(size))


def test_training_uses_each_example_once_an_epoch_and_keeps_the_uneven_last_batch():
    split = vector_split(10)

    batches = list(training_batches(split, TARGET, Order(0, 0, 2, 4), None))

    assert [len(inputs) for inputs, _, _ in batches] == [4, 4, 2, 4, 4, 2]
    rows = np.concatenate([inputs for inputs, _, _ in batches])
    expected = np.stack([split.fetch(index) for index in range(10)])
    for epoch in (rows[:10], rows[10:]):
        np.testing.assert_array_equal(np.sort(epoch, axis=0), np.sort(expected, axis=0))
    assert not np.array_equal(rows[:10], rows[10:])


def test_a_later_epoch_is_the_same_wherever_training_began():
    split = vector_split(10)
    from_start = list(training_batches(split, TARGET, Order(5, 0, 3, 4), None))[6:]

    resumed = list(training_batches(split, TARGET, Order(5, 2, 1, 4), None))

    for (a, *_), (b, *_) in zip(from_start, resumed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_labels_are_one_hot_and_weights_follow_their_examples():
    split = vector_split(7)
    split = replace(split, weights=np.arange(7, dtype="float32"))

    batches = list(training_batches(split, TARGET, Order(0, 0, 1, 3), None))

    weights = np.concatenate([w for _, _, w in batches])
    labels = np.concatenate([y for _, y, _ in batches])
    np.testing.assert_array_equal(labels, np.eye(3)[weights.astype(int) % 3])


def test_augmentation_depends_on_seed_epoch_and_index_alone():
    """Each example is replaced by its seeds; the batch size must not matter."""
    split = vector_split(8)

    def augment(inputs, seeds):
        return tf.cast(seeds, tf.float32)

    def seeds_of(batch_size):
        batches = training_batches(split, TARGET, Order(3, 0, 2, batch_size), augment)
        return np.concatenate([seeds for seeds, _, _ in batches])

    np.testing.assert_array_equal(seeds_of(3), seeds_of(8))
    assert len(np.unique(seeds_of(8), axis=0)) == 16


def test_seeds_differ_between_epochs_and_examples():
    first = example_seeds(1, tf.constant(0, tf.int64), tf.range(4, dtype=tf.int64))
    second = example_seeds(1, tf.constant(1, tf.int64), tf.range(4, dtype=tf.int64))

    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 8


def test_evaluation_keeps_the_order_of_the_split():
    split = vector_split(7)

    batches = list(evaluation_batches(split, TARGET, 4).take(4))

    rows = np.concatenate([inputs for inputs, _ in batches])
    once = np.stack([split.fetch(i) for i in range(7)])
    np.testing.assert_array_equal(rows, np.concatenate([once, once]))


@pytest.mark.parametrize("mixed", [False, True])
def test_examples_that_are_augmented_on_the_device_are_those_of_the_cpu(mixed):
    split, order, augment = vector_split(10), Order(5, 1, 3, 4), Shaken().augment
    mix = Mix(mixup=0.4, cutmix=0.0, until=3, regions=None) if mixed else None

    change = tf.function(changed(augment, mix, order.seed))
    found = [change(*batch) for batch in unchanged_batches(split, TARGET, order)]

    expected = list(training_batches(split, TARGET, order, augment, mix))
    assert len(found) == len(expected) == 9
    for mine, theirs in zip(found, expected, strict=True):
        for part, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(part, other, atol=1e-6)


def test_epochs_take_the_variants_of_the_examples_in_turn():
    """Each example is fetched as the number of its row."""
    split = replace(vector_split(6), fetch=tf.identity, fetches_many=True)

    batches = training_batches(split, TARGET, Order(0, 1, 3, 6, views=(1, 0)), None)

    rows, labels = zip(*((row.numpy(), label.numpy()) for row, label, _ in batches), strict=True)
    assert [sorted(epoch) for epoch in rows] == [[*range(6)], [*range(6, 12)], [*range(6)]]
    for row, label in zip(rows, labels, strict=True):
        np.testing.assert_array_equal(label.argmax(axis=1), row % 6 % 3)


def test_examples_fetched_at_once_come_in_the_same_batches_as_those_fetched_alone():
    split = vector_split(10)

    alone = training_batches(split, TARGET, Order(0, 0, 2, 4), None)
    at_once = training_batches(replace(split, fetches_many=True), TARGET, Order(0, 0, 2, 4), None)

    for one, other in zip(alone, at_once, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
