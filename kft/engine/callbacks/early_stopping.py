"""Remembers the best weights of a phase, stops it early, and cuts its rate on a plateau.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kft.engine.best import Best
from kft.engine.callbacks.recorder import Recorder
from kft.engine.phase_rate import rate_of
from kft.phase import Phase
from kft.recipe.schedule import Plateau


class EarlyStopAndBest(keras.callbacks.Callback):
    """Remembers the best weights, stops early, and cuts the rate on a plateau.

    It reads the record of the epoch from `recorder`, so it comes after that.
    """

    def __init__(self, best: Best, phase: Phase, recorder: Recorder) -> None:
        super().__init__()
        self._best = best
        self._phase = phase
        self._recorder = recorder
        # How many epochs of the phase there were when it last cut the rate.
        self._last_cut = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Acts on the record of the epoch just ended."""
        records = self._recorder.records
        self._best.consider(records[-1])
        stopping, schedule = self._phase.early_stopping, self._phase.schedule
        if stopping is not None:
            stale = self._epochs_since_better(stopping.min_delta)
            self.model.stop_training |= stale >= stopping.patience
        if isinstance(schedule, Plateau):
            waited = min(self._epochs_since_better(0.0), len(records) - self._last_cut)
            if waited >= schedule.patience:
                self._last_cut = len(records)
                scale = rate_of(self.model.optimizer).scale
                scale.assign(scale * schedule.factor)

    def state(self) -> dict[str, Any]:
        """The epoch in which the rate was last cut, ready for JSON."""
        return {"last_cut": self._last_cut}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`."""
        self._last_cut = state["last_cut"]

    def _epochs_since_better(self, min_delta: float) -> int:
        """The number of epochs since the phase last got better by more than `min_delta`.

        0 if it did in the epoch just ended. At a `min_delta` of 0 a lower loss decides between
        equal scores.
        """
        scores = [self._best.score(record) for record in self._recorder.records]
        reference, since = scores[0], 0
        for number, score in enumerate(scores[1:], start=1):
            if score[0] > reference[0] + min_delta or (not min_delta and score > reference):
                reference, since = score, number
        return len(scores) - 1 - since
