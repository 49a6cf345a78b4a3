"""Averages of the weights, which stand in for them wherever a phase is judged.

Reached from functions only, since it imports Keras. Not Keras's ``use_ema``: it validates and
selects the weights themselves, and exchanges them for the average after training (Keras 3.15).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable
from typing import Any

import keras
import tensorflow as tf

from kft.phase import Phase


def average_of(phase: Phase, last_epoch: int) -> Average:
    """Returns what averages the weights of `phase`, or leaves them as they are.

    `last_epoch` is the number of the last epoch of the phase, counted over the whole run from 0.
    """
    if phase.ema is not None:
        return MovingAverage(last_epoch, phase.ema)
    if phase.swa_epochs:
        return EpochAverage(last_epoch, phase.swa_epochs)
    return NoAverage(last_epoch)


class Average(keras.callbacks.Callback):
    """Puts an average in the place of the weights at the end of each epoch.

    So it stands before the callbacks that validate, select and look on, and `put_back` after
    them: the weights themselves train on, and when the phase is over the average stays. It takes
    in what training changes: trainable variables, and the statistics of layers such as batch
    normalisation. A phase may be trained in several parts, each with its own variables; what was
    not trained before has its own value for an average.

    Attributes:
        put_back: The callback that puts the weights back.
    """

    def __init__(self, last_epoch: int) -> None:
        super().__init__()
        self.put_back = PutBack(self, last_epoch)
        self._taken = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._known: dict[int, tuple[tf.Variable, tf.Variable]] = {}
        self._spares: list[tf.Variable] = []

    def know(self, variables: Iterable[keras.Variable]) -> None:
        """Gives each of `variables` that is new an average, of its own value."""
        for variable in variables:
            self._known.setdefault(id(variable), (variable.value, copy_of(variable.value)))

    @property
    def known(self) -> Collection[int]:
        """The ids of the variables that have an average, in the order of `state`."""
        return self._known.keys()

    @property
    def state(self) -> list[tf.Variable]:
        """All that makes up the average: how many weights it has taken in, and their averages."""
        return [self._taken, *(average for _, average in self._known.values())]

    def begin(self, model: keras.Model) -> None:
        """Gives each variable of `model` that is new an average, of its own value."""
        self.know(changed_variables(model))
        pairs = list(self._known.values())
        self._spares = [copy_of(variable) for variable, _ in pairs]

        @tf.function
        def take() -> None:
            share = self.share(tf.cast(self._taken, tf.float64))
            for variable, average in pairs:
                average.assign_add(tf.cast(share, average.dtype) * (variable - average))
            self._taken.assign_add(1)

        self._take = take

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Puts the average in the place of the weights, if there is one yet."""
        if int(self._taken.numpy()):
            for spare, (variable, average) in zip(self._spares, self._known.values(), strict=True):
                spare.assign(variable)
                variable.assign(average)

    def restore(self) -> None:
        """Puts the weights themselves back, at the end of an epoch."""
        if int(self._taken.numpy()):
            for spare, (variable, _) in zip(self._spares, self._known.values(), strict=True):
                variable.assign(spare)

    @abstractmethod
    def share(self, taken: tf.Tensor) -> tf.Tensor:
        """Returns what share of the new average the weights are, after so many before them."""


class PutBack(keras.callbacks.Callback):
    """Puts the weights back in the place of their average, unless the phase is over."""

    def __init__(self, average: Average, last_epoch: int) -> None:
        super().__init__()
        self._average = average
        self._last_epoch = last_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Lets training go on with the weights themselves."""
        if epoch < self._last_epoch and not self.model.stop_training:
            self._average.restore()


class NoAverage(Average):
    """Leaves the weights as they are."""

    def begin(self, model: keras.Model) -> None:
        """Has nothing to copy."""

    def share(self, taken: tf.Tensor) -> tf.Tensor:
        """Returns all of it; never asked."""
        return tf.ones_like(taken)


class MovingAverage(Average):
    """The exponential moving average: after step t it is ``d * average + (1 - d) * weights``.

    ``d`` is the smaller of `decay` and ``(1 + t) / (10 + t)``, as in TensorFlow's
    ``ExponentialMovingAverage``: a fixed 0.999 would leave nine tenths of a short phase's first
    weights in the average after a hundred steps.
    """

    def __init__(self, last_epoch: int, decay: float) -> None:
        super().__init__(last_epoch)
        self._decay = decay

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begins to count the steps of the optimizer."""
        self._steps = int(self.model.optimizer.iterations.numpy())

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the weights in, if this batch has changed them; it may only gather gradients."""
        steps = int(self.model.optimizer.iterations.numpy())
        if steps != self._steps:
            self._steps = steps
            self._take()

    def share(self, taken: tf.Tensor) -> tf.Tensor:
        """Returns ``1 - d``."""
        step = taken + 1
        return 1 - tf.minimum(tf.cast(self._decay, step.dtype), (1 + step) / (10 + step))


class EpochAverage(Average):
    """The mean of the weights at the ends of the last `epochs` epochs of the phase.

    Stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407). A batch normalisation
    whose statistics train gets the mean of those, which is near to those of the mean weights; the
    backbone's are made exact where its `batch_norm` is ``recalibrate``.
    """

    def __init__(self, last_epoch: int, epochs: int) -> None:
        super().__init__(last_epoch)
        self._first_epoch = last_epoch - epochs + 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the weights in, then puts the mean in their place."""
        if epoch >= self._first_epoch:
            self._take()
        super().on_epoch_end(epoch, logs)

    def share(self, taken: tf.Tensor) -> tf.Tensor:
        """Returns the share of one among all so far."""
        return 1 / (taken + 1)


def changed_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the float variables that training may change: what trains, and layers' own state."""
    state = {id(v) for layer in model._flatten_layers() for v in layer._non_trainable_variables}
    return [
        variable
        for variable in model.variables
        if (variable.trainable or id(variable) in state)
        and keras.backend.is_float_dtype(variable.dtype)
    ]


def copy_of(variable: tf.Variable) -> tf.Variable:
    """Returns another variable of the same value."""
    return tf.Variable(variable, trainable=False, dtype=variable.dtype)
