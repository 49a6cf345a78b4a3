"""The loops of training and validation: many steps in each call of TensorFlow.

Not ``Model.fit`` and ``Model.evaluate`` of Keras 3.15. Their ``steps_per_execution`` is one number,
by which they also run beyond the end of an epoch; they return to Python after each step otherwise,
where a small step has long been over and a GPU waits; and each validation makes two iterators,
which takes longer than to validate some hundreds of cached features.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from kft.data import Split, Target
from kft.distribute.cluster import replicas
from kft.engine.prepare import steps_per_epoch
from kft.pipeline.batches import evaluation_batches

# About how long one call may take, in seconds: Ctrl-C and the progress bar wait for its end.
CALL = 0.1

Logs = dict[str, float]


class Steps:
    """Takes steps of a compiled model, several in one call, and always the same ones.

    Training state, order and results are those of single steps to the last bit: the graph is one
    loop, whose number of rounds is an argument. Several devices take one step at a time.

    Args:
        step: ``train_step`` or ``test_step`` of `model`.
        after: What runs in the graph after each step.
        change: What makes a batch of what is read; None takes it as it is.
        jit: Whether XLA compiles the step.
    """

    def __init__(
        self,
        model: keras.Model,
        step: Callable[[Any], Any],
        after: Sequence[Callable[[], None]] = (),
        change: Callable[..., Any] | None = None,
        jit: bool = False,
    ) -> None:
        self._count = 1
        compiled = tf.function(step, autograph=False, jit_compile=True) if jit else step

        def one(iterator: Any) -> dict[str, Any]:
            batch = next(iterator) if change is None else change(*next(iterator))
            logs: dict[str, Any] = model.distribute_strategy.run(compiled, args=(batch,))
            for each in after:
                each()
            return logs

        graph = several_steps(model, one) if replicas() == 1 else step_of_devices(model, one)
        self._take = tf.function(graph, reduce_retracing=True, autograph=False)

    def take(self, iterator: Any, most: int) -> tuple[int, int, Logs]:
        """Takes up to `most` steps: as many as take about `CALL`, at first one; of devices one.

        Returns how many, after how many of them the loss was a number, and the metrics since they
        were reset.
        """
        count = min(self._count, most)
        started = time.perf_counter()
        finite, logs = self._take(iterator, tf.constant(count))
        good = int(finite)
        seconds = time.perf_counter() - started
        if count == self._count and replicas() == 1:
            self._count = max(1, min(2 * count, int(count * CALL / seconds)))
        return count, good, {name: float(value) for name, value in logs.items()}


Graph = Callable[[Any, tf.Tensor], tuple[tf.Tensor, dict[str, tf.Tensor]]]


def several_steps(model: keras.Model, one: Callable[[Any], dict[str, Any]]) -> Graph:
    """The graph that takes so many steps, and gives how many losses were numbers and the metrics.

    They are counted in floats, which a GPU need not bring to the host at each step.
    """

    def take(iterator: Any, count: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        def body(done: tf.Tensor, finite: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            is_number = tf.math.is_finite(one(iterator)["loss"])
            return done + 1, finite + tf.cast(is_number, tf.float32)

        _, finite = tf.while_loop(lambda done, _: done < count, body, (0, 0.0))
        return finite, model.get_metrics_result()

    return take


def step_of_devices(model: keras.Model, one: Callable[[Any], dict[str, Any]]) -> Graph:
    """The graph of a single step of several devices, with the means of their metrics.

    In a loop, TensorFlow 2.21 lets a device begin the next step early, and then adds up what it has
    of that with what others have of the last.
    """
    strategy = model.distribute_strategy

    def take(iterator: Any, _: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        logs = {k: strategy.reduce("MEAN", v, axis=None) for k, v in one(iterator).items()}
        return tf.cast(tf.math.is_finite(logs["loss"]), tf.float32), logs

    return take


def one_by_one(callbacks: Iterable[keras.callbacks.Callback]) -> bool:
    """Says whether one of `callbacks` is to be called for each single batch."""
    return any(getattr(each, "by_batch", False) for each in callbacks)


def exact(logs: Logs, model: keras.Model) -> Logs:
    """The metrics of `model` since they were reset, of which a step gave the last `logs`.

    In those of a step several devices weigh alike; here they do by their examples.
    """
    if replicas() == 1:
        return logs
    return {name: float(value) for name, value in model.get_metrics_result().items()}


@dataclass(frozen=True, eq=False)
class Training:
    """Trains a compiled `model`, as ``Model.fit`` does.

    Callbacks are called as with ``steps_per_execution``: before the first and after the last of the
    steps that are taken together. The first of an epoch is alone, and so is each where a callback
    is `by_batch`. What a callback has as ``after_step`` runs in the graph after each step.

    Attributes:
        batches: Of all epochs, one after another.
        steps: In an epoch.
        change: What makes a batch of one of `batches`, on the device; None takes it as it is.
        jit: Whether XLA compiles the steps.
    """

    model: keras.Model
    batches: Any
    steps: int
    callbacks: Sequence[keras.callbacks.Callback]
    change: Callable[..., Any] | None = None
    jit: bool = False

    def run(self, epochs: range) -> None:
        """Trains for `epochs`, unless a callback stops it."""
        model = self.model
        hooks = keras.callbacks.CallbackList(
            list(self.callbacks),
            add_history=True,
            model=model,
            epochs=epochs.stop,
            steps=self.steps,
            verbose=0,
        )
        iterator = iter(self.batches)
        model.stop_training = False
        model.train_function = None
        hooks.on_train_begin()
        logs: Logs = {}
        try:
            for epoch in epochs:
                model.reset_metrics()
                hooks.on_epoch_begin(epoch)
                logs = self._epoch(iterator, hooks)
                hooks.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
        finally:
            model.train_function = None
        model.optimizer.finalize_variable_values(model.trainable_weights)
        hooks.on_train_end(logs)

    def _epoch(self, iterator: Any, hooks: keras.callbacks.CallbackList) -> Logs:
        """Takes the steps of one epoch; gives its metrics."""
        single = one_by_one(self.callbacks)
        after = [each.after_step for each in self.callbacks if getattr(each, "after_step", None)]
        model, done, logs = self.model, 0, Logs()
        while done < self.steps and not model.stop_training:
            # A callback that unfreezes has Keras make this function anew.
            if not isinstance(model.train_function, Steps):
                model.train_function = Steps(model, model.train_step, after, self.change, self.jit)
            hooks.on_train_batch_begin(done)
            most = 1 if single or not done else self.steps - done
            taken, good, logs = model.train_function.take(iterator, most)
            # Where the loss is no number, the callbacks see the step that made it so.
            done += min(good + 1, taken)
            hooks.on_train_batch_end(done - 1, logs)
        return exact(logs, model)


class Evaluation:
    """Scores a compiled `model` on a split, again and again; where there are devices, on all."""

    def __init__(self, model: keras.Model, split: Split, target: Target, batch_size: int) -> None:
        self._model = model
        self._number = steps_per_epoch(split, batch_size)
        self._batches = evaluation_batches(split, target, batch_size)
        self._steps = Steps(model, model.test_step)
        self._iterator: Any = None

    def scores(self, callbacks: Iterable[keras.callbacks.Callback] = ()) -> Logs:
        """The loss and the metrics by their names; `callbacks` see it as ``evaluate``."""
        model, callbacks = self._model, list(callbacks)
        hooks = keras.callbacks.CallbackList(
            callbacks, model=model, epochs=1, steps=self._number, verbose=0
        )
        single = one_by_one(callbacks)
        # It stands at the first batch again, unless the last pass was broken off.
        iterator, self._iterator = self._iterator or iter(self._batches), None
        model.stop_evaluating = False
        model.reset_metrics()
        hooks.on_test_begin()
        done, logs = 0, Logs()
        while done < self._number and not model.stop_evaluating:
            hooks.on_test_batch_begin(done)
            taken, _, logs = self._steps.take(iterator, 1 if single else self._number - done)
            done += taken
            hooks.on_test_batch_end(done - 1, logs)
        if done == self._number:
            self._iterator = iterator
        logs = exact(logs, model)
        hooks.on_test_end(logs)
        return logs
