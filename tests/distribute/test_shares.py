"""A batch is shared out so that all devices together take the step of one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import TARGET, vector_split

from kft.distribute.shares import WHOLE, BatchSharding, cut_up, in_shares, with_tally
from kft.pipeline.batches import labelled


def of_replica(replica, replicas, size, batch_size):
    """The shares of one replica: indices, inputs, labels, weights and tally of each batch."""
    split, shares = vector_split(size), BatchSharding(replicas, replica, 1)
    rows = in_shares(size, batch_size, shares)
    batches = labelled(split, TARGET, rows, shares.size(batch_size))
    return list(with_tally(batches, size, batch_size, shares))


@pytest.mark.parametrize(("size", "batch_size"), [(22, 4), (22, 7), (22, 22), (9, 3), (5, 8)])
@pytest.mark.parametrize("replicas", [2, 3])
def test_all_replicas_together_give_the_mean_loss_and_count_each_example_once(
    replicas, size, batch_size
):
    losses = tf.random.stateless_uniform([size], (1, 2))
    everyone = [of_replica(number, replicas, size, batch_size) for number in range(replicas)]

    counted = []
    for number, step in enumerate(zip(*everyone, strict=True)):
        held = range(number * batch_size, min((number + 1) * batch_size, size))
        assert all(len(index) > 0 for index, *_ in step)
        means = [
            tf.reduce_mean(tf.gather(losses, index) * weights) for index, *_, weights, _ in step
        ]
        np.testing.assert_allclose(np.mean(means), np.mean(losses.numpy()[held]), rtol=1e-6)
        np.testing.assert_allclose(sum(tally.examples for *_, tally in step), len(held))
        counted += [i for index, *_, tally in step for i in index[: tally.counted].numpy().tolist()]

    assert sorted(counted) == list(range(size))


def test_a_whole_batch_cut_up_gives_the_same_shares():
    shares = BatchSharding(3, 1, 2)
    rows = in_shares(10, 4, WHOLE)
    cut = list(cut_up(labelled(vector_split(10), TARGET, rows, 4), shares))

    apart = [of_replica(number, 3, 10, 4) for number in (1, 2)]
    expected = [share for step in zip(*apart, strict=True) for share in step]
    assert len(cut) == len(expected)
    for found, wanted in zip(cut, expected, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, found, tuple(wanted))


def test_the_order_of_two_processes_with_two_devices_each_is_that_of_one():
    whole = list(in_shares(13, 8, WHOLE))
    halves = [list(in_shares(13, 8, BatchSharding(4, first, 2))) for first in (0, 2)]

    for number, batch in enumerate(whole):
        parts = [half[2 * number + device] for half in halves for device in (0, 1)]
        assert sorted(set(np.concatenate(parts).tolist())) == batch.numpy().tolist()


def test_keras_itself_still_divides_a_loss_by_the_examples_that_it_sees():
    """Keras 3.15; the weights of a share rest on it."""
    loss = keras.losses.MeanSquaredError()

    value = loss(np.ones((4, 1)), np.zeros((4, 1)), sample_weight=np.array([2.0, 0, 0, 0]))

    assert float(value) == 0.5
