"""What happens while a phase runs: validation, records, selection, stopping.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from kft.best import Best
from kft.errors import TrainingError
from kft.phase import Phase
from kft.progress import EpochBar, say
from kft.run_dir import METRICS, TENSORBOARD
from kft.schedule import Plateau
from kft.task import Task

if TYPE_CHECKING:
    from kft.parts import Parts, Training


def watchers(
    task: Task, phase: Phase, parts: Parts, validation: tf.data.Dataset, training: Training
) -> tuple[Recorder, list[keras.callbacks.Callback]]:
    """Returns the recorder of one phase and all its callbacks, in the order they need."""
    recorder = Recorder(phase, parts, validation, training)
    callbacks = [
        Guard(phase.name),
        Bar(phase.name),
        recorder,
        Selection(training.best, phase, recorder),
        *(ForUser(callback, task.model) for callback in training.callbacks()),
    ]
    return recorder, callbacks


class Guard(keras.callbacks.Callback):
    """Stops at the first step whose loss is not a number."""

    def __init__(self, phase: str) -> None:
        super().__init__()
        self._phase = phase

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch, for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises TrainingError if the loss is not finite."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise TrainingError(
                where=f"phase {self._phase!r}, epoch {self._epoch + 1}, step {batch + 1}",
                problem=f"the loss is {loss}",
                fix="Lower the learning rate of the phase, set its clip_norm to 1, or give its "
                "schedule a warm-up",
            )


class Recorder(keras.callbacks.Callback):
    """Validates after each epoch, and writes ``metrics.jsonl`` and TensorBoard's scalars.

    Not the ``validation_data`` of `fit`, since the validated model may be another than the
    trained one: the features of validation are kept even where training is augmented.
    """

    def __init__(
        self, phase: Phase, parts: Parts, validation: tf.data.Dataset, training: Training
    ) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []
        self._phase = phase
        self._parts = parts
        self._validation = validation
        self._metrics = training.directory / METRICS
        self._writers = {
            name: tf.summary.create_file_writer(str(training.directory / TENSORBOARD / name))
            for name in ("train", "validation")
        }

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock, which stops before validation."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Records the epoch and adds ``val_…`` to its `logs`; epochs count from 1 over the run."""
        logs = logs if logs is not None else {}
        seconds = time.perf_counter() - self._started
        scores = self._parts.validation.model.evaluate(
            self._validation, verbose=0, return_dict=True
        )
        logs.update({f"val_{name}": float(score) for name, score in scores.items()})
        rate = self.model.optimizer._learning_rate
        record = {
            "phase": self._phase.name,
            "epoch": epoch + 1,
            **{name: float(score) for name, score in logs.items()},
            "learning_rate": float(rate(self.model.optimizer.iterations - 1)),
            "seconds": round(seconds, 4),
            "examples_per_second": round(self._parts.train.split.size / seconds, 2),
        }
        self.records.append(record)
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self._summarise(record, list(scores))
        told = ", ".join(f"{name} {record[f'val_{name}']:.4f}" for name in scores)
        say(f"{self._phase.name}, epoch {epoch + 1}: validation {told} ({seconds:.1f} s)")

    def _summarise(self, record: dict[str, Any], names: list[str]) -> None:
        for name in names:
            for writer, key in (("train", name), ("validation", f"val_{name}")):
                with self._writers[writer].as_default():
                    tf.summary.scalar(name, record[key], step=record["epoch"])
        with self._writers["train"].as_default():
            tf.summary.scalar("learning_rate", record["learning_rate"], step=record["epoch"])

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes TensorBoard's files."""
        for writer in self._writers.values():
            writer.close()


class Selection(keras.callbacks.Callback):
    """Keeps the best weights, stops early, and cuts the rate on a plateau."""

    def __init__(self, best: Best, phase: Phase, recorder: Recorder) -> None:
        super().__init__()
        self._best = best
        self._phase = phase
        self._records = recorder.records
        self._last_cut = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the record of the epoch just ended."""
        self._best.consider(self._records[-1])
        stopping, schedule = self._phase.early_stopping, self._phase.schedule
        if stopping is not None:
            self.model.stop_training |= self._stale(stopping.min_delta) >= stopping.patience
        if isinstance(schedule, Plateau):
            waited = min(self._stale(0.0), len(self._records) - self._last_cut)
            if waited >= schedule.patience:
                self._last_cut = len(self._records)
                scale = self.model.optimizer._learning_rate.scale
                scale.assign(scale * schedule.factor)

    def _stale(self, min_delta: float) -> int:
        """Returns how many epochs ago this phase last got better by more than `min_delta`."""
        scores = [self._best.score(record) for record in self._records]
        reference, since = scores[0], 0
        for number, score in enumerate(scores[1:], start=1):
            if score[0] > reference[0] + min_delta or (not min_delta and score > reference):
                reference, since = score, number
        return len(scores) - 1 - since


class Bar(keras.callbacks.Callback):
    """Shows a bar for each epoch."""

    def __init__(self, phase: str) -> None:
        super().__init__()
        self._phase = phase

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Opens the bar."""
        self._bar = EpochBar(f"{self._phase}, epoch {epoch + 1}", self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves the bar."""
        self._bar.advance(f"loss {(logs or {}).get('loss', math.nan):.4f}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the bar away."""
        self._bar.close()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Takes it away after an epoch that was cut short, too."""
        self._bar.close()


class ForUser(keras.callbacks.Callback):
    """Shows a user's callback the whole model, also where only the head is being fitted."""

    def __init__(self, callback: keras.callbacks.Callback, whole: keras.Model) -> None:
        super().__init__()
        self._callback = callback
        self._whole = whole

    def set_model(self, model: keras.Model) -> None:
        """Gives the callback the whole model, with the optimizer at work."""
        super().set_model(model)
        self._whole.optimizer = model.optimizer
        self._whole.stop_training = False
        self._callback.set_model(self._whole)

    def set_params(self, params: dict[str, Any]) -> None:
        """Hands the number of epochs and steps on."""
        super().set_params(params)
        self._callback.set_params(params)


def forward(hook: str) -> Callable[..., None]:
    """Returns a method that calls `hook` of the user's callback and obeys its wish to stop."""

    def call(self: ForUser, *arguments: Any, **keywords: Any) -> None:
        getattr(self._callback, hook)(*arguments, **keywords)
        self.model.stop_training |= self._whole.stop_training

    return call


for _when in ("begin", "end"):
    for _what in ("train", "epoch", "train_batch", "test", "test_batch"):
        setattr(ForUser, f"on_{_what}_{_when}", forward(f"on_{_what}_{_when}"))
