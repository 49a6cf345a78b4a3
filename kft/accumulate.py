"""Gradient accumulation: a batch is worked off in parts and is one step all the same.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class InParts(keras.Model):
    """A model that adds up the gradients of the parts of each batch, and then takes one step.

    So one batch of `fit` is one step, in whatever counts them, and takes the memory of a part.
    Not the ``gradient_accumulation_steps`` of Keras, which spreads a step over several batches:
    it then takes its schedule by the batch, lets what is left over at the end of an epoch into
    the next, and counts an example of a small batch for more than others (Keras 3.15).

    Attributes:
        part_size: Examples in a part, the last of a batch may hold fewer.
    """

    part_size: int

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one step and returns the metrics so far.

        The loss must be a mean over the examples, as Keras's losses are unless told otherwise.
        """
        batch = keras.utils.unpack_x_y_sample_weight(data)
        size = tf.shape(tf.nest.flatten(batch)[0])[0]

        def add_part(start: tf.Tensor, sums: list[tf.Tensor]) -> tuple[Any, ...]:
            end = start + self.part_size
            part = (None if rows is None else rows_of(rows, start, end) for rows in batch)
            added = self._gradients(part, size)
            return end, [a + b for a, b in zip(sums, added, strict=True)]

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in self.trainable_variables]
        # One part at a time, since what runs side by side takes the memory of all.
        _, sums = tf.while_loop(
            lambda start, _: start < size, add_part, (0, zeros), parallel_iterations=1
        )
        self.optimizer.apply_gradients(zip(sums, self.trainable_variables, strict=True))
        return dict(self.get_metrics_result())

    def _gradients(self, part: Any, size: tf.Tensor) -> list[tf.Tensor]:
        """Returns what `part` adds to the gradients of the mean loss over `size` examples."""
        x, y, weights = part
        held = tf.shape(tf.nest.flatten(x)[0])[0]
        with tf.GradientTape() as tape:
            answers = self(x, training=True)
            loss = self.compute_loss(x, y, answers, weights, training=True)
            share = loss * tf.cast(held / size, loss.dtype)
            scaled = self.optimizer.scale_loss(share)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=held)
        self.compute_metrics(x, y, answers, weights)
        gradients = tape.gradient(
            scaled, self.trainable_variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return [tf.convert_to_tensor(gradient) for gradient in gradients]


def rows_of(tensors: Any, start: tf.Tensor, end: tf.Tensor) -> Any:
    """Returns the rows from `start` to `end` of a tensor, or of each in a structure of them."""
    return tf.nest.map_structure(lambda tensor: tensor[start:end], tensors)


def in_parts(model: keras.Model, part_size: int) -> keras.Model:
    """Returns a model of the same layers that works each batch off in parts."""
    parted = InParts(model.input, model.output, name=model.name)
    parted.part_size = part_size
    return parted
