"""Batches of a split, in an order that the engine owns.

Order is a pure function of ``(seed, epoch)`` and every random choice for an example one of
``(seed, epoch, index)``. That is what makes cached, resumed and distributed runs equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft.data import Split, Target
from kft.distribute.cluster import shared_out
from kft.distribute.shares import WHOLE, BatchSharding, cut_up, in_shares, with_tally
from kft.host_memory import from_memory
from kft.pipeline.autotune import without_autotune
from kft.pipeline.mix import Mix

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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
) -> Any:
    """Returns ``(inputs, labels, weights)`` of all epochs of `order`, one after another.

    Labels are dense ``(batch, k)``, weights ``(batch,)``, or of several labels ``(batch, k)`` or
    ``(batch, 1)``. `augment` is as `Input.augment`; what it gives is mixed by `mix`. Where several
    devices train, each has its share of every batch, as `share_of` gives it.
    """
    import tensorflow as tf

    views = tf.constant(order.views, "int64")

    def one_epoch(epoch: tf.Tensor, shares: BatchSharding) -> tf.data.Dataset:
        first = tf.gather(views, epoch % len(order.views)) * split.size
        # Examples are mixed within the batch, so every process needs the whole of it.
        early = WHOLE if mix is not None else shares
        indices = shuffled(split.size, order.seed, epoch, order.batch_size, early)
        rows = indices if order.views == (0,) else indices.map(lambda index: first + index)
        batches = labelled(split, target, rows, early.size(order.batch_size))
        batches = with_tally(batches, split.size, order.batch_size, early)
        for change in changes(augment, mix, order.seed, epoch):
            batches = batches.map(change, num_parallel_calls=tf.data.AUTOTUNE)
        batches = cut_up(batches, shares) if early is not shares else batches
        return batches.map(lambda _, *batch: batch)

    return all_epochs(order, one_epoch)


def unchanged_batches(split: Split, target: Target, order: Order) -> Any:
    """Batches of one device before they are augmented and mixed, which `changed` does.

    Each is ``(inputs, labels, weights, index, epoch)``; the split has no cached views.
    """

    def one_epoch(epoch: tf.Tensor, shares: BatchSharding) -> tf.data.Dataset:
        indices = shuffled(split.size, order.seed, epoch, order.batch_size, shares)
        batches = labelled(split, target, indices, order.batch_size)
        return batches.map(lambda index, *batch: (*batch, index, epoch))

    return all_epochs(order, one_epoch)


def all_epochs(
    order: Order, one_epoch: Callable[[tf.Tensor, BatchSharding], tf.data.Dataset]
) -> Any:
    """The batches of `one_epoch`, which takes the number of the epoch, for all of `order`."""
    import tensorflow as tf

    def whole(shares: BatchSharding) -> tf.data.Dataset:
        epochs = tf.data.Dataset.range(order.first_epoch, order.first_epoch + order.epochs)
        batches = epochs.flat_map(lambda epoch: one_epoch(epoch, shares))
        return without_autotune(batches.prefetch(2))

    return shared_out(whole)


def changed(
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None, mix: Mix | None, seed: int
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """The function that augments and mixes `unchanged_batches`, on the device that calls it."""

    def change(
        inputs: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, index: tf.Tensor, epoch: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        batch: tuple[tf.Tensor, ...] = (index, inputs, labels, weights)
        for each in changes(augment, mix, seed, epoch):
            batch = each(*batch)
        return batch[1:]

    return change


def changes(
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None,
    mix: Mix | None,
    seed: int,
    epoch: tf.Tensor,
) -> list[Callable[..., tuple[tf.Tensor, ...]]]:
    """The functions applied to each batch of one epoch, in order."""
    varied = [] if augment is None else [varied_by(augment, seed, epoch)]
    return varied + ([] if mix is None else [mixed_by(mix, seed, epoch)])


def varied_by(
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], seed: int, epoch: tf.Tensor
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """The function that augments a batch of one epoch."""

    def vary(index: tf.Tensor, inputs: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return index, augment(inputs, example_seeds(seed, epoch, index)), *rest

    return vary


def mixed_by(mix: Mix, seed: int, epoch: tf.Tensor) -> Callable[..., tuple[tf.Tensor, ...]]:
    """The function that mixes the examples of a batch of one epoch, while `mix` is on."""
    import tensorflow as tf

    def blend(index: tf.Tensor, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        seeds = example_seeds(seed, epoch, index)
        mixed = tf.cond(epoch < mix.until, lambda: mix.batch(seeds, *batch), lambda: batch)
        return index, *mixed

    return blend


def evaluation_batches(split: Split, target: Target, batch_size: int) -> Any:
    """Returns ``(inputs, labels)`` in the order of the split, again and again.

    Labels are dense ``(batch, k)``. Where there are several devices, each has its share of every
    batch, as in training.
    """
    import tensorflow as tf

    def whole(shares: BatchSharding) -> tf.data.Dataset:
        indices = in_shares(split.size, batch_size, shares)
        batches = labelled(split, target, indices, shares.size(batch_size))
        if shares.replicas == 1:
            batches = batches.map(lambda _, inputs, labels, weights: (inputs, labels))
            return without_autotune(batches.repeat().prefetch(2))
        batches = batches.map(lambda *batch: (*batch[1:3], tf.ones_like(batch[3])))
        tallied = with_tally(batches, split.size, batch_size, shares)
        return without_autotune(tallied.repeat().prefetch(2))

    return shared_out(whole)


def shuffled(
    size: int, seed: int, epoch: tf.Tensor, batch_size: int, shares: BatchSharding = WHOLE
) -> tf.data.Dataset:
    """Returns `in_shares` in the order of one epoch, in constant memory."""
    import tensorflow as tf

    key = tf.stack([tf.constant(seed, "int64"), tf.cast(epoch, "int64")])
    return in_shares(size, batch_size, shares).map(
        lambda places: tf.random.experimental.index_shuffle(places, key, size - 1)
    )


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

    weights = np.ones(split.size, "float32") if split.weights is None else split.weights
    if target.kind == "multilabel" and weights.ndim == 1:
        weights = weights[:, np.newaxis]
    labels_and_weights = from_memory(split.labels, weights)

    def with_label(row: tf.Tensor, inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        index = row % split.size
        label, weight = labels_and_weights(index)
        if target.kind == "class":
            label = tf.one_hot(label, len(target.names))
        return index, inputs, label, weight

    if split.fetches_many:  # One function, since tf.data takes 25 microseconds to call one.
        return rows.map(lambda row: with_label(row, split.fetch(row)))
    return split.fetched(rows, batch_size).map(with_label)
