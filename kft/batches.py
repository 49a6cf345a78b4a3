"""Batches of a split, in an order that the engine owns.

Order is a pure function of ``(seed, epoch)`` and every random choice for an example one of
``(seed, epoch, index)``. That is what makes cached, resumed and distributed runs equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft.data import Split, Target
from kft.mix import Mix

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf


@dataclass(frozen=True)
class Order:
    """How training goes through a split.

    Attributes:
        seed: Of the run.
        first_epoch: Number of the first epoch, counted over the whole run from 0.
        epochs: How many follow one another.
        batch_size: Examples in a batch; the last of an epoch may hold fewer.
        views: Which variant of the examples the epochs take in turn: epoch ``e`` that at
            ``e % len(views)``. A split that has several fetches variant ``v`` of an example at
            ``index + v * size``.
    """

    seed: int
    first_epoch: int
    epochs: int
    batch_size: int
    views: tuple[int, ...] = (0,)


def training_batches(
    split: Split,
    target: Target,
    order: Order,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None,
    mix: Mix | None = None,
) -> tf.data.Dataset:
    """Returns ``(inputs, labels, weights)`` of all epochs of `order`, one after another.

    Labels are dense ``(batch, k)``, weights ``(batch,)``. `augment` is as `Input.augment`; what
    it gives is mixed by `mix`.
    """
    import tensorflow as tf

    views = tf.constant(order.views, "int64")

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        first = tf.gather(views, epoch % len(order.views)) * split.size
        indices = shuffled(split.size, order.seed, epoch, order.batch_size)
        rows = indices if order.views == (0,) else indices.map(lambda index: first + index)
        batches = labelled(split, target, rows, order.batch_size)
        if augment is not None:
            vary = varied_by(augment, order.seed, epoch)
            batches = batches.map(vary, num_parallel_calls=tf.data.AUTOTUNE)
        if mix is not None:
            blend = mixed_by(mix, order.seed, epoch)
            batches = batches.map(blend, num_parallel_calls=tf.data.AUTOTUNE)
        return batches

    epochs = tf.data.Dataset.range(order.first_epoch, order.first_epoch + order.epochs)
    batches = epochs.flat_map(one_epoch).map(lambda _, *batch: batch)
    return batches.prefetch(tf.data.AUTOTUNE)


def varied_by(
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], seed: int, epoch: tf.Tensor
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Returns what augments a batch of one epoch."""

    def vary(index: tf.Tensor, inputs: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return index, augment(inputs, example_seeds(seed, epoch, index)), *rest

    return vary


def mixed_by(mix: Mix, seed: int, epoch: tf.Tensor) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Returns what mixes the examples of a batch of one epoch, while `mix` is on."""
    import tensorflow as tf

    def blend(index: tf.Tensor, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        seeds = example_seeds(seed, epoch, index)
        mixed = tf.cond(epoch < mix.until, lambda: mix.batch(seeds, *batch), lambda: batch)
        return index, *mixed

    return blend


def evaluation_batches(split: Split, target: Target, batch_size: int) -> tf.data.Dataset:
    """Returns ``(inputs, labels)`` in the order of the split, labels dense ``(batch, k)``."""
    import tensorflow as tf

    indices = tf.data.Dataset.range(split.size).batch(batch_size)
    batches = labelled(split, target, indices, batch_size)
    return batches.map(lambda _, inputs, labels, weights: (inputs, labels)).prefetch(2)


def shuffled(size: int, seed: int, epoch: tf.Tensor, batch_size: int) -> tf.data.Dataset:
    """Returns batches of the indices of a split in the order of one epoch, in constant memory."""
    import tensorflow as tf

    key = tf.stack([tf.constant(seed, "int64"), tf.cast(epoch, "int64")])

    def batch_from(start: tf.Tensor) -> tf.Tensor:
        places = tf.range(start, tf.minimum(start + batch_size, size))
        return tf.random.experimental.index_shuffle(places, key, size - 1)

    return tf.data.Dataset.range(0, size, batch_size).map(batch_from)


def example_seeds(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns int64 ``(batch, 2)``: a seed of its own for each example in each epoch."""
    import tensorflow as tf

    of_epoch = tf.cast(seed, "int64") * 1_000_003 + tf.cast(epoch, "int64")
    return tf.stack([tf.fill(tf.shape(index), of_epoch), index], axis=1)


def labelled(
    split: Split, target: Target, rows: tf.data.Dataset, batch_size: int
) -> tf.data.Dataset:
    """Returns ``(indices, inputs, labels, weights)`` of batches of `rows`, as `Order` has them."""
    import numpy as np
    import tensorflow as tf

    labels = tf.constant(split.labels)
    ones = np.ones(split.size, "float32")
    weights = tf.constant(ones if split.weights is None else split.weights)

    def with_label(row: tf.Tensor, inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        index = row % split.size
        label = tf.gather(labels, index)
        if target.kind == "class":
            label = tf.one_hot(label, len(target.names))
        return index, inputs, label, tf.gather(weights, index)

    return split.fetched(rows, batch_size).map(with_label)
