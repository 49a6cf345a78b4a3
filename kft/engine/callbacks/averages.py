"""Averages the weights, for validation, selection and the end of a phase.

Imported inside functions only, since it imports Keras. Not Keras's ``use_ema``: it validates and
selects the weights themselves, and exchanges them for the average after training (Keras 3.15).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from kft.engine.snapshot import positions_in
from kft.phase import Phase


def average_of(phase: Phase, model: keras.Model, last_epoch: int) -> Average:
    """Returns the average that `phase` asks for, or `NoAverage`.

    `model` is the whole model. `last_epoch` is the number of the last epoch of the phase, counted
    from 0 over the run.
    """
    if phase.ema is not None:
        return MovingAverage(model, last_epoch, phase.ema)
    if phase.swa_epochs:
        return EpochAverage(model, last_epoch, phase.swa_epochs)
    return NoAverage(model, last_epoch)


class Average(keras.callbacks.Callback):
    """Puts an average in the place of the weights at the end of each epoch.

    So it comes before the callbacks that validate and select and those of the user, and `put_back`
    after them: the weights themselves train on, and when the phase is over the average stays. It
    averages all that training changes: trainable variables, and the statistics of layers such as
    batch normalisation. A phase may be trained in several segments, each with its own variables;
    the average of one that was not trained before begins with its value.

    Attributes:
        put_back: The callback that puts the weights back.
        after_step: What is to run in the graph after each step, or None.
    """

    def __init__(self, model: keras.Model, last_epoch: int) -> None:
        super().__init__()
        self.put_back = PutBack(self, last_epoch)
        self._whole = model
        self._taken = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._averaged: dict[int, tuple[keras.Variable, tf.Variable]] = {}
        self._spares: list[tf.Variable] = []
        self.after_step: Callable[[], None] | None = None

    def _add(self, variables: Iterable[keras.Variable]) -> None:
        """Averages `variables` too, those that are new."""
        for variable in variables:
            self._averaged.setdefault(id(variable), (variable, copy_of(variable.value)))

    @property
    def variables(self) -> list[tf.Variable]:
        """The number of weights averaged so far, and the averages, in the order of `state`."""
        return [self._taken, *(average for _, average in self._averaged.values())]

    def state(self) -> dict[str, Any]:
        """The variables of the whole model that have an average, ready for JSON.

        The values are in `variables`.
        """
        averaged = (variable for variable, _ in self._averaged.values())
        return {"averaged": positions_in(self._whole, averaged)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Averages the variables of a `state`; the values of `variables` are still to be set."""
        variables = tuple(self._whole.variables)
        self._add(variables[position] for position in state["averaged"])

    def begin(self, model: keras.Model) -> None:
        """Averages the variables of `model` that training changes."""
        self._add(changed_variables(model))
        pairs = [(variable.value, average) for variable, average in self._averaged.values()]
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
            pairs = self._averaged.values()
            for spare, (variable, average) in zip(self._spares, pairs, strict=True):
                spare.assign(variable.value)
                variable.assign(average)

    def put_weights_back(self) -> None:
        """Puts the weights in the place of the average again, at the end of an epoch."""
        if int(self._taken.numpy()):
            pairs = self._averaged.values()
            for spare, (variable, _) in zip(self._spares, pairs, strict=True):
                variable.assign(spare)

    @abstractmethod
    def share(self, taken: tf.Tensor) -> tf.Tensor:
        """Returns the share, 0 to 1, that new weights have in the average after `taken` others."""


class PutBack(keras.callbacks.Callback):
    """Puts the weights back in the place of their average, unless the phase is over."""

    def __init__(self, average: Average, last_epoch: int) -> None:
        super().__init__()
        self._average = average
        self._last_epoch = last_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Puts the weights back; after the last epoch, or an early stop, the average stays."""
        if epoch < self._last_epoch and not self.model.stop_training:
            self._average.put_weights_back()


class NoAverage(Average):
    """Leaves the weights as they are."""

    def begin(self, model: keras.Model) -> None:
        """Averages nothing."""

    def share(self, taken: tf.Tensor) -> tf.Tensor:
        """Returns 1; nothing calls it."""
        return tf.ones_like(taken)


class MovingAverage(Average):
    """The exponential moving average: after step t it is ``d * average + (1 - d) * weights``.

    ``d`` is the smaller of `decay` and ``(1 + t) / (10 + t)``, as in TensorFlow's
    ``ExponentialMovingAverage``: a fixed 0.999 would leave nine tenths of a short phase's first
    weights in the average after a hundred steps.
    """

    def __init__(self, model: keras.Model, last_epoch: int, decay: float) -> None:
        super().__init__(model, last_epoch)
        self._decay = decay
        self._steps = tf.Variable(0, trainable=False, dtype=tf.int64)
        self.after_step = self._average_changed

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Reads the number of steps that the optimizer has taken."""
        self._steps.assign(int(self.model.optimizer.iterations.numpy()))

    def _average_changed(self) -> None:
        """Averages the weights if a batch has changed them; it may only gather gradients."""
        steps = tf.cast(tf.convert_to_tensor(self.model.optimizer.iterations), tf.int64)
        tf.cond(steps != self._steps, self._take, lambda: None)
        self._steps.assign(steps)

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

    def __init__(self, model: keras.Model, last_epoch: int, epochs: int) -> None:
        super().__init__(model, last_epoch)
        self._first_epoch = last_epoch - epochs + 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Averages the weights, then puts the mean in their place."""
        if epoch >= self._first_epoch:
            self._take()
        super().on_epoch_end(epoch, logs)

    def share(self, taken: tf.Tensor) -> tf.Tensor:
        """Returns 1 divided by the number of epochs averaged."""
        return 1 / (taken + 1)


def changed_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the float variables that training changes: trainable ones, and state of layers."""
    state = {id(v) for layer in model._flatten_layers() for v in layer._non_trainable_variables}
    return [
        variable
        for variable in model.variables
        if (variable.trainable or id(variable) in state)
        and keras.backend.is_float_dtype(variable.dtype)
    ]


def copy_of(variable: tf.Variable) -> tf.Variable:
    """Returns a new variable with the value of `variable`."""
    return tf.Variable(variable, trainable=False, dtype=variable.dtype)
