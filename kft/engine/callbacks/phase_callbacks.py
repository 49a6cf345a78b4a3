"""What happens while a phase runs: what is recorded, kept and saved, and when it stops.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras

from kft.engine.best import Best
from kft.engine.callbacks.averages import average_of
from kft.engine.callbacks.checkpoint import StateCheckpoint, restore_segment
from kft.engine.callbacks.recalibrate import Recalibration
from kft.engine.callbacks.recorder import Recorder
from kft.engine.callbacks.rollback import NanGuard, Rollback
from kft.engine.callbacks.user_callback import UserCallbackAdapter
from kft.engine.phase_rate import rate_of
from kft.phase import Phase
from kft.pipeline.batches import Evaluation
from kft.progress import EpochBar
from kft.recipe.schedule import Plateau

if TYPE_CHECKING:
    from kft.engine.context import TrainingContext
    from kft.engine.parts import TrainValidation
    from kft.engine.run_state import SavedState


class PhaseCallbacks:
    """All callbacks of one phase, which may call `fit` several times.

    Attributes:
        callbacks: In the order they need.
        recorder: Has the records of the epochs.
        rollback: Goes back where training diverges.
        first_epoch: Of the phase, counted from 0 over the run.
        where: Which segment of the run is trained, ready for JSON.
    """

    def __init__(self, context: TrainingContext, phase: Phase, first_epoch: int) -> None:
        task, limits = context.task, context.limits
        self._average = average_of(phase, last_epoch=first_epoch + phase.epochs - 1)
        self.rollback = Rollback(phase, self._average, limits)
        self.first_epoch = first_epoch
        self.where: Mapping[str, Any] = {}
        self._task = task
        self._found: SavedState | None = None
        self._limits = limits
        self._started = time.perf_counter()
        if task.backbone.batch_norm in ("train", "recalibrate"):
            limits.forget()
        exact = task.backbone.batch_norm == "recalibrate"
        self._recalibrations = [Recalibration()] if exact else []
        self._for_user = [
            UserCallbackAdapter(callback, task.model, first_epoch + phase.epochs)
            for callback in context.callbacks()
        ]
        self.recorder = Recorder(context, phase, self.rollback, self._for_user)
        self._selection = EarlyStopAndBest(context.best, phase, self.recorder)
        self._saving = context.state and StateCheckpoint(
            task, context.best, context.state, self.rollback, self._told
        )
        self.callbacks = [
            self.rollback,
            *([self._saving] if self._saving else []),
            NanGuard(),
            Bar(phase.name),
            self._average,
            *self._recalibrations,
            self.recorder,
            self._selection,
            *self._for_user,
            self._average.put_back,
        ]

    def begin(self, parts: TrainValidation, validation: Evaluation, epoch: int) -> int:
        """Looks at compiled `parts` from `epoch` on, counted from 0 over the run.

        Returns the epoch to begin with: that, or the one that a killed run had reached, whose
        state `parts` then have.
        """
        model = parts.train.model
        for callback in self._recalibrations:
            callback.begin(parts.train.split)
        self.recorder.begin(parts, validation, epoch)
        self._average.begin(model)
        if self._saving:
            self._saving.begin(model, f"{self.first_epoch}-{self.where['segment']}")
        found, self._found = self._found, None
        return epoch if found is None else restore_segment(model, self.rollback, found)

    def _told(self) -> dict[str, Any]:
        """Returns what has happened so far, ready for JSON."""
        return {
            **self.where,
            "seconds": self.seconds,
            "before": self.recorder.before,
            "records": self.recorder.records,
            "rollbacks": self.rollback.rollbacks,
            "limits": self._limits.state,
            "last_cut": self._selection.last_cut,
        }

    def go_on_from(self, found: SavedState) -> None:
        """Makes what has happened what had happened in a killed run."""
        told = found.told
        self._found = found
        self.where = told
        self.recorder.before = dict(told["before"])
        self.recorder.records.extend(told["records"])
        self.rollback.rollbacks.extend(told["rollbacks"])
        self._limits.restore(told["limits"])
        self._selection.last_cut = told["last_cut"]
        self._average.know(self._task.model.variables[place] for place in told["averaged"])
        self._started -= told["seconds"]

    @property
    def seconds(self) -> float:
        """How long the phase has taken so far."""
        return time.perf_counter() - self._started

    @property
    def stopped(self) -> bool:
        """Whether a callback has ended the phase."""
        return bool(self.recorder.model.stop_training)

    def close(self) -> None:
        """Ends the phase for those who see it as one."""
        self.recorder.close()
        for callback in self._for_user:
            callback.close()


class EarlyStopAndBest(keras.callbacks.Callback):
    """Keeps the best weights, stops early, and cuts the rate on a plateau.

    Attributes:
        last_cut: How many epochs of the phase there were when it last cut the rate.
    """

    def __init__(self, best: Best, phase: Phase, recorder: Recorder) -> None:
        super().__init__()
        self._best = best
        self._phase = phase
        self._records = recorder.records
        self.last_cut = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the record of the epoch just ended."""
        self._best.consider(self._records[-1])
        stopping, schedule = self._phase.early_stopping, self._phase.schedule
        if stopping is not None:
            self.model.stop_training |= self._stale(stopping.min_delta) >= stopping.patience
        if isinstance(schedule, Plateau):
            waited = min(self._stale(0.0), len(self._records) - self.last_cut)
            if waited >= schedule.patience:
                self.last_cut = len(self._records)
                scale = rate_of(self.model.optimizer).scale
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
        self._bar: EpochBar | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Opens the bar, in place of that of an epoch that was given up."""
        self.close()
        self._bar = EpochBar(f"{self._phase}, epoch {epoch + 1}", self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves the bar."""
        if self._bar is not None:
            self._bar.advance(f"loss {(logs or {}).get('loss', math.nan):.4f}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the bar away."""
        self.close()

    def close(self) -> None:
        """Takes the bar away, if there is one."""
        if self._bar is not None:
            self._bar.close()
