"""Accumulates gradients: computes a batch in parts and takes one step with their sum.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kft.distribute.replicated import Replicated, synchronize
from kft.distribute.shares import ReplicaWeight


class InParts(Replicated):
    """A model that adds up the gradients of the parts of each batch, and then takes one step.

    So one batch of `fit` is one step for all that counts steps, and takes the memory of one part.
    Not the ``gradient_accumulation_steps`` of Keras, which spreads a step over several batches:
    it then takes its schedule by the batch, lets what is left over at the end of an epoch into
    the next, and counts an example of a small batch for more than others (Keras 3.15).

    Attributes:
        part_size: Examples in a part; the last part of a batch may hold fewer.
    """

    part_size: int

    def gradients(self, batch: tuple[Any, ...], tally: ReplicaWeight) -> list[Any]:
        """Returns the gradients of the whole batch, computed one part after another."""
        size = tf.shape(tf.nest.flatten(batch)[0])[0]

        def add_part(start: tf.Tensor, sums: list[tf.Tensor]) -> tuple[Any, ...]:
            end = tf.minimum(start + self.part_size, size)
            added = self._of_part(batch, tally, start, end)
            return end, [a + b for a, b in zip(sums, added, strict=True)]

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in self.trainable_variables]
        # One part at a time, since parts that run side by side take the memory of all.
        _, sums = tf.while_loop(
            lambda start, _: start < size, add_part, (0, zeros), parallel_iterations=1
        )
        return list(sums)

    def _of_part(
        self, batch: tuple[Any, ...], tally: ReplicaWeight, start: tf.Tensor, end: tf.Tensor
    ) -> list[tf.Tensor]:
        """Returns the share of rows `start` to `end` (excluded) in the gradients of the batch."""
        part = tuple(None if rows is None else rows_of(rows, start, end) for rows in batch)
        share = (end - start) / tf.shape(tf.nest.flatten(batch)[0])[0]
        share = tf.cast(share, tally.examples.dtype)
        counted = tf.minimum(tf.cast(tally.counted, end.dtype), end - start)
        of_part = tally._replace(examples=tally.examples * share, counted=counted)
        added = super().gradients(part, of_part)
        pairs = zip(added, self.trainable_variables, strict=True)
        return [
            tf.zeros(variable.shape, variable.dtype)
            if gradient is None
            else tf.convert_to_tensor(gradient) * tf.cast(share, gradient.dtype)
            for gradient, variable in pairs
        ]


def rows_of(tensors: Any, start: tf.Tensor, end: tf.Tensor) -> Any:
    """Returns rows `start` to `end` (excluded) of a tensor, or of each in a nested structure."""
    return tf.nest.map_structure(lambda tensor: tensor[start:end], tensors)


def in_parts(model: keras.Model, part_size: int) -> keras.Model:
    """Returns a model of the same layers that computes each batch in parts of `part_size`."""
    synchronize(model)
    parted = InParts(model.input, model.output, name=model.name)
    parted.part_size = part_size
    return parted
