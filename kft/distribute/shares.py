"""How a batch is shared out among devices, so that all together take the step of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf


class ReplicaWeight(NamedTuple):
    """How the share of a replica counts, so that all replicas together make one batch.

    Attributes:
        weight: Of each example in the loss, beside its own, where a replica takes the mean over
            its share and the mean over replicas follows.
        examples: Of the batch, divided by the number of replicas.
        counted: How many of the examples count in metrics: none, if another replica has them.
    """

    weight: tf.Tensor
    examples: tf.Tensor
    counted: tf.Tensor


@dataclass(frozen=True)
class BatchSharding:
    """The part of each batch that the devices of one process work on.

    Every device of every process is a replica. They share a batch as evenly as can be. Where it
    has fewer examples than there are replicas, some have the same one, in parts: none is ever
    left without.

    Attributes:
        replicas: How many there are over all processes.
        first: The first of this process, counted from 0.
        here: How many this process has; they follow one another.
    """

    replicas: int = 1
    first: int = 0
    here: int = 1

    def size(self, batch_size: int) -> int:
        """The largest number of examples of a batch that a replica gets."""
        return -(-batch_size // self.replicas)

    def replica(self, number: tf.Tensor) -> tf.Tensor:
        """The replica whose share the element `number` of a dataset of shares is."""
        return self.first + number % self.here

    def bounds(self, number: tf.Tensor, held: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The bounds, in a batch that holds so many, of the rows in element `number`."""
        import tensorflow as tf

        replica = self.replica(number)
        few = held < self.replicas
        start = tf.where(few, replica % held, replica * held // self.replicas)
        end = tf.where(few, start + 1, (replica + 1) * held // self.replicas)
        return start, end

    def tally(self, number: tf.Tensor, held: tf.Tensor) -> ReplicaWeight:
        """The `ReplicaWeight` of element `number` of a batch that holds so many."""
        import tensorflow as tf

        start, end = self.bounds(number, held)
        few = held < self.replicas
        copies = tf.where(few, (self.replicas - start - 1) // held + 1, 1)
        weight = (end - start) * self.replicas / (held * copies)
        first = tf.logical_or(tf.logical_not(few), self.replica(number) < held)
        return ReplicaWeight(
            tf.cast(weight, tf.float32),
            tf.cast(held / self.replicas, tf.float32),
            tf.where(first, end - start, 0),
        )


WHOLE = BatchSharding()


def in_shares(size: int, batch_size: int, shares: BatchSharding) -> tf.data.Dataset:
    """Returns the places of a split, batch by batch, a share of each for every device here.

    The last batch may hold fewer. So that all shares of several devices have one size, which
    `Split.fetched` needs, their last place is repeated; `with_tally` takes the rest off again.
    """
    import tensorflow as tf

    def share_from(number: tf.Tensor) -> tf.Tensor:
        first = number // shares.here * batch_size
        start, end = shares.bounds(number, tf.minimum(size - first, batch_size))
        if shares.replicas == 1:
            return first + tf.range(start, end)
        return first + tf.minimum(start + tf.range(shares.size(batch_size), dtype="int64"), end - 1)

    return numbers(size, batch_size, shares).map(share_from)


def numbers(size: int, batch_size: int, shares: BatchSharding) -> tf.data.Dataset:
    """Returns the numbers of all shares of this process."""
    import tensorflow as tf

    return tf.data.Dataset.range(-(-size // batch_size) * shares.here)


def with_tally(
    padded: tf.data.Dataset, size: int, batch_size: int, shares: BatchSharding
) -> tf.data.Dataset:
    """Returns the shares that `in_shares` made, fetched, as `share_of` gives them.

    A batch of a single device is left as it is.
    """
    import tensorflow as tf

    if shares.replicas == 1:
        return padded

    def trimmed(number: tf.Tensor, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        held = tf.minimum(size - number // shares.here * batch_size, batch_size)
        start, end = shares.bounds(number, held)
        return share_of(batch, (tf.zeros_like(start), end - start), shares.tally(number, held))

    counted = tf.data.Dataset.zip((numbers(size, batch_size, shares), padded))
    return counted.map(trimmed)


def cut_up(batches: tf.data.Dataset, shares: BatchSharding) -> tf.data.Dataset:
    """Returns the shares of whole batches, as `share_of` gives them; one device has the batch."""
    import tensorflow as tf

    if shares.replicas == 1:
        return batches

    def pieces(*batch: Any) -> tf.data.Dataset:
        held = tf.shape(batch[0], "int64")[0]
        return tf.data.Dataset.range(shares.here).map(
            lambda number: share_of(batch, shares.bounds(number, held), shares.tally(number, held))
        )

    return batches.flat_map(pieces)


def share_of(
    batch: tuple[Any, ...], bounds: tuple[tf.Tensor, tf.Tensor], tally: ReplicaWeight
) -> tuple[Any, ...]:
    """Returns the rows of a batch within `bounds`, their weights as the tally says, and the tally.

    The last of a batch are its weights.
    """
    import tensorflow as tf

    start, end = bounds
    *rows, weights = tf.nest.map_structure(lambda tensor: tensor[start:end], batch)
    return (*rows, weights * tally.weight, tally)
