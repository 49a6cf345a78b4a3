"""A model that trains on several devices as on one: what Keras 3 leaves out or gets wrong there.

Reached from functions only, since it imports Keras. Of Keras 3.15, under a strategy of
`tf.distribute`:

- `fit` and `evaluate` take the mean over devices of a first batch, to build the model by: strings,
  booleans and an uneven batch fail (keras-team/keras#21172, tensorflow/tensorflow#80951), and all
  do with several workers (keras-team/keras#20585).
- Gradients are clipped on each device by itself, before they are added up
  (tensorflow/tensorflow#33929), and a loss scale looks whether those of the first device are finite
  (keras-team/keras#18691).
- A mean over examples weighs devices alike, however many examples each has
  (keras-team/keras#20609).
- Batch normalisation takes the statistics of its own device (tensorflow/tensorflow#46488).
- Dropout has one mask for all devices: the first row of each has the same, and so on (no issue was
  found that says so).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from kft.distribute.cluster import replicas
from kft.distribute.shares import ReplicaWeight
from kft.errors import TrainingError
from kft.layers.precision import unscaled
from kft.layers.update_step import chain_of
from kft.progress import say

# The Keras that what stands here is made for; the tests say what of it a later one still needs.
MADE_FOR = "3.15"


class Replicated(keras.Model):
    """A model whose devices take one step together, with the data that `batches` shares out."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one step and returns the metrics so far.

        The loss must be a mean over the examples, as Keras's losses are unless set otherwise.
        """
        batch, tally = with_own_tally(data)
        variables = self.trainable_variables
        with own_noise(self):
            gradients = self.gradients(batch, tally)
        gradients = summed(gradients)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return dict(self.get_metrics_result())

    def gradients(self, batch: tuple[Any, ...], tally: ReplicaWeight) -> list[Any]:
        """The gradients of the share of one device, which is counted in the metrics too."""
        x, y, weights = batch
        with tf.GradientTape() as tape:
            answers = self(x, training=True)
            loss = self.compute_loss(x, y, answers, weights, training=True)
            scaled = self.optimizer.scale_loss(loss)
        self.count(loss, y, answers, tally)
        return list(tape.gradient(scaled, self.trainable_variables))

    def test_step(self, data: Any) -> dict[str, Any]:
        """Returns the metrics so far."""
        (x, y, weights), tally = with_own_tally(data)
        answers = self(x, training=False)
        self.count(self.compute_loss(x, y, answers, weights, training=False), y, answers, tally)
        return dict(self.get_metrics_result())

    def count(
        self, loss: tf.Tensor, y: tf.Tensor, answers: tf.Tensor, tally: ReplicaWeight
    ) -> None:
        """Takes a share into the metrics, its loss as `compute_loss` gives it."""
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss * replicas(), sample_weight=tally.examples)
        self.compute_metrics(None, y[: tally.counted], answers[: tally.counted])

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Builds nothing: `prepare` has built it all."""


def with_own_tally(data: Any) -> tuple[tuple[Any, ...], ReplicaWeight]:
    """Returns the inputs, labels and weights of a share, and how it counts."""
    if len(data) == 4:
        *batch, tally = data
        return tuple(batch), ReplicaWeight(*tally)
    batch = keras.utils.unpack_x_y_sample_weight(data)
    size = tf.shape(tf.nest.flatten(batch[0])[0])[0]
    return batch, ReplicaWeight(tf.ones([]), tf.cast(size, tf.float32), size)


@contextmanager
def own_noise(model: keras.Model) -> Iterator[None]:
    """Lets each device draw its own random numbers in layers of `model`, such as dropout.

    Their seeds are the same for all before and after, as saving and restoring them expects.
    """
    context = tf.distribute.get_replica_context()
    states = [each.state for layer in model._flatten_layers() for each in layer._seed_generators]
    # Any number that tells the devices apart; the second of a state counts what has been drawn.
    shift = tf.stack([1_000_003 * context.replica_id_in_sync_group, 0])
    if replicas() > 1:
        for state in states:
            state.assign(state + tf.cast(shift, state.dtype))
    yield
    if replicas() > 1:
        for state in states:
            state.assign(state - tf.cast(shift, state.dtype))


def summed(gradients: list[Any]) -> list[Any]:
    """Returns `gradients` added up over all devices; where there are none there stay none."""
    if replicas() == 1:
        return gradients
    there = [gradient for gradient in gradients if gradient is not None]
    sums = iter(tf.distribute.get_replica_context().all_reduce("sum", there))
    return [None if gradient is None else next(sums) for gradient in gradients]


def replicated(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers for several devices; for one, `model` itself."""
    if replicas() == 1 or isinstance(model, Replicated):
        return model
    note_other_version(keras.__version__)
    synchronize(model)
    return Replicated(model.input, model.output, name=model.name)


@functools.cache
def note_other_version(version: str) -> None:
    """Says, once, that `version` of Keras has not been tried on several devices."""
    if version.split(".")[:2] != MADE_FOR.split("."):
        say(
            f"On several devices kft has been tried with Keras {MADE_FOR}, and this is {version}: "
            "compare a short run with one on a single device"
        )


def synchronize(model: keras.Model) -> None:
    """Makes batch normalisations in `model` take the statistics of all of a batch.

    Each device would take those of its own examples, and keep averages of its own.
    """
    for layer in model._flatten_layers():
        if replicas() > 1 and isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def take_sums(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes `optimizer` take gradients that are `summed`, and clip them as they are.

    Raises:
        TrainingError: This version of Keras would add them up once more.
    """
    if replicas() == 1:
        return
    if not hasattr(unscaled(optimizer), "_all_reduce_sum_gradients"):
        raise TrainingError(
            where="distribute",
            problem=f"Keras {keras.__version__} adds gradients up in a way that kft does not know",
            fix=f"Install Keras {MADE_FOR}, or set distribute.strategy to 'none'",
        )
    chain_of(optimizer).take_sums()
