"""Builds the callbacks of a phase, in the order that they need.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kft.engine.callbacks.averages import average_of
from kft.engine.callbacks.checkpoint import StateCheckpoint, restore_segment
from kft.engine.callbacks.early_stopping import EarlyStopAndBest
from kft.engine.callbacks.progress_bar import ProgressBar
from kft.engine.callbacks.recalibrate import Recalibration
from kft.engine.callbacks.recorder import Recorder
from kft.engine.callbacks.rollback import NanGuard, Rollback
from kft.engine.callbacks.time_limit import TimeLimit
from kft.engine.callbacks.user_callback import UserCallbackAdapter
from kft.engine.loop import Evaluation
from kft.phase import Phase

if TYPE_CHECKING:
    from kft.engine.context import TrainingContext
    from kft.engine.parts import TrainValidation
    from kft.engine.run_state import SavedState, Stateful


class PhaseCallbacks:
    """All callbacks of one phase, which may call `fit` several times.

    Attributes:
        callbacks: In the order that they need.
        recorder: Has the records of the epochs.
        rollback: Goes back where training diverges.
        first_epoch: Of the phase, counted from 0 over the run.
        progress: The results of the phases before, and the segment at work, ready for JSON.
    """

    def __init__(self, context: TrainingContext, phase: Phase, first_epoch: int) -> None:
        model, batch_norm = context.task.model, context.task.backbone.batch_norm
        last_epoch = first_epoch + phase.epochs - 1
        if batch_norm in ("train", "recalibrate"):
            context.limits.forget_lowest()
        self.first_epoch = first_epoch
        self.progress: Mapping[str, Any] = {}
        self._started = time.perf_counter()
        self._saved: SavedState | None = None
        self._average = average_of(phase, model, last_epoch)
        self.rollback = Rollback(phase, self._average, context.limits, context.best.copies)
        self._recalibrations = [Recalibration()] if batch_norm == "recalibrate" else []
        self._user_callbacks = [
            UserCallbackAdapter(callback, model, last_epoch + 1) for callback in context.callbacks()
        ]
        self.recorder = Recorder(context, phase, self.rollback, self._user_callbacks)
        early_stopping = EarlyStopAndBest(context.best, phase, self.recorder)
        self._time_limit = context.deadline and TimeLimit(context.deadline, context, self.recorder)
        self._owners: dict[str, Stateful] = {
            "limits": context.limits,
            "average": self._average,
            "rollback": self.rollback,
            "recorder": self.recorder,
            "early_stopping": early_stopping,
        }
        self._checkpoint = context.state and StateCheckpoint(
            context.state, context, self.rollback, self.recorder, self.state
        )
        self.callbacks = [
            self.rollback,
            *([self._checkpoint] if self._checkpoint else []),
            NanGuard(),
            ProgressBar(phase.name),
            self._average,
            *self._recalibrations,
            self.recorder,
            early_stopping,
            *([self._time_limit] if self._time_limit else []),
            *self._user_callbacks,
            self._average.put_back,
        ]

    def begin(
        self, parts: TrainValidation, validation: Evaluation, epoch: int, preparing: float
    ) -> int:
        """Prepares all callbacks for a segment that trains the compiled `parts` from `epoch` on.

        `preparing` is how many seconds it took to make `parts`.
        Returns the epoch to begin with, counted from 0 over the run: `epoch`, or the one that a
        killed run had reached, whose state `parts` then have.
        """
        model = parts.train.model
        for callback in self._recalibrations:
            callback.begin(parts.train.split)
        self.recorder.begin(parts, validation, epoch)
        self._average.begin(model)
        if self._time_limit:
            self._time_limit.begin(preparing)
        if self._checkpoint:
            self._checkpoint.begin(model, f"{self.first_epoch}-{self.progress['segment']}")
        saved, self._saved = self._saved, None
        return epoch if saved is None else restore_segment(model, self.rollback, saved)

    def state(self) -> dict[str, Any]:
        """The progress of the phase, ready for JSON, with the state of each owner."""
        owned = {name: owner.state() for name, owner in self._owners.items()}
        return {**self.progress, "seconds": self.seconds, **owned}

    def resume_from(self, saved: SavedState) -> None:
        """Goes on with the phase that a killed run was in; `begin` restores what was trained."""
        state = saved.state
        self._saved = saved
        self.progress = {name: state[name] for name in ("phases", "segment", "features")}
        self._started -= state["seconds"]
        for name, owner in self._owners.items():
            owner.restore(state[name])
        self.recorder.rewrite_metrics(
            record for result in state["phases"] for record in result["epochs"]
        )

    @property
    def seconds(self) -> float:
        """How long the phase has taken so far, over all processes that ran it."""
        return time.perf_counter() - self._started

    @property
    def stopped(self) -> bool:
        """Whether a callback has ended the phase early."""
        return bool(self.recorder.model.stop_training)

    def close(self) -> None:
        """Ends the phase: closes files, and calls ``on_train_end`` of the user's callbacks."""
        self.recorder.close()
        for callback in self._user_callbacks:
            callback.close()
