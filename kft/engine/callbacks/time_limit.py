"""Ends training while there is time to score and to export.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import keras

from kft.distribute.cluster import workers
from kft.engine.callbacks.recorder import Recorder
from kft.engine.deadline import Deadline

if TYPE_CHECKING:
    from kft.engine.context import TrainingContext

# An epoch is begun only if there is time for this share of it.
SHARE = 0.1
# Several workers ask one another once in so many steps.
STEPS = 16


class TimeLimit(keras.callbacks.Callback):
    """Ends training before the `deadline`, in the midst of an epoch if need be.

    An epoch that is cut short is validated and counts as any other. It comes behind `recorder`,
    which measures how long that takes.
    """

    def __init__(self, deadline: Deadline, context: TrainingContext, recorder: Recorder) -> None:
        super().__init__()
        self._deadline = deadline
        self._sizes = {name: split.size for name, split in context.splits.by_name().items()}
        self._megabytes = context.task.model.count_params() * 4e-6
        self._recorder = recorder

    def begin(self, preparing: float) -> None:
        """Measures what the end of the run takes: a phase took so many seconds to make ready.

        Most of that are the features of the training and validation examples, so those of the test
        examples take their share of it.
        """
        test, validation = self._sizes.get("test", 0), self._sizes["validation"]
        features = preparing * test / (self._sizes["train"] + validation)
        answers = self._recorder.validation_seconds * (1 + test / validation)
        self._deadline.preparing = preparing + self._recorder.validation_seconds
        self._deadline.hold_back(features + answers, self._megabytes)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends the epoch if only its validation still fits."""
        if workers() > 1 and (batch + 1) % STEPS:
            return
        self._end_unless_left(self._recorder.validation_seconds)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends training if not much of another epoch fits."""
        seconds = time.perf_counter() - self._started - self._recorder.validation_seconds
        self._end_unless_left(self._recorder.validation_seconds + SHARE * seconds)

    def _end_unless_left(self, seconds: float) -> None:
        if not self._deadline.leaves(seconds):
            self._deadline.reached = self.model.stop_training = True
