"""Remembers the weights of the best epochs: the best before fine-tuning, and the best since."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.engine.snapshot import Copies, Snapshot
from kft.errors import ConfigError
from kft.head import Head
from kft.messages import closest
from kft.scoring.direction import lower_is_better, not_nan

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True, eq=False)
class EpochWeights:
    """An epoch and the weights of the model at its end.

    Attributes:
        record: The epoch as a line of ``metrics.jsonl``.
    """

    record: Mapping[str, Any]
    weights: Snapshot

    @property
    def file(self) -> str:
        """The name of the file for the weights in the state of a run."""
        return f"best-{self.record['epoch']}.npz"


class Best:
    """Remembers the weights of the best epoch before fine-tuning, and of the best since.

    The best epoch has the highest validation `monitor`, or the lowest if that is a loss or an
    error; of equals, the one with the lower validation loss. Fine-tuning begins with the first
    phase after another that trains some of the backbone.

    Attributes:
        monitor: The name of the metric.
        fine_tunes: Whether fine-tuning has begun.
        before: The best epoch before fine-tuning, or None before the first.
        since: The best epoch of fine-tuning, or None before its first.
        copies: Makes the copies, also those of others that are to share what is frozen.
    """

    def __init__(self, model: keras.Model, monitor: str) -> None:
        self._model = model
        self.monitor = monitor
        self.copies = Copies()
        self.fine_tunes = False
        self.before: EpochWeights | None = None
        self.since: EpochWeights | None = None

    def check_monitor(self, head: Head) -> None:
        """Raises ConfigError if `head` has no metric of the name `monitor`."""
        known = ["loss", *(metric.name for metric in head.metrics())]
        if self.monitor not in known:
            raise ConfigError(
                where="monitor",
                problem=f"there is no metric {self.monitor!r}{closest(self.monitor, known)}",
                fix="Set it to a metric of the head, or to null for its first",
            )

    def score(self, record: Mapping[str, Any]) -> tuple[float, float]:
        """Returns (metric, -loss) to compare epochs by, the higher the better; NaN is lowest."""
        sign = -1 if lower_is_better(self.monitor) else 1
        score, loss = sign * float(record[f"val_{self.monitor}"]), -float(record["val_loss"])
        return not_nan(score), not_nan(loss)

    def among(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Returns the best of `records`, the earliest of equals."""
        return max(records, key=self.score)

    def begin_fine_tuning(self) -> None:
        """Leaves `before` as it is from now on: epochs to come compete for `since`."""
        self.fine_tunes = True

    def consider(self, record: Mapping[str, Any]) -> None:
        """Copies the weights if the epoch just ended, of this `record`, is the best so far."""
        rival = self.since if self.fine_tunes else self.before
        if rival is not None and self.score(record) <= self.score(rival.record):
            return
        epoch = EpochWeights(record, self.copies.of(self._model.variables))
        if self.fine_tunes:
            self.since = epoch
        else:
            self.before = epoch

    @property
    def overall(self) -> EpochWeights | None:
        """The better of `before` and `since`, or None before the first epoch."""
        return max(self._epochs, key=lambda epoch: self.score(epoch.record), default=None)

    @property
    def record(self) -> Mapping[str, Any] | None:
        """The record of the best epoch overall, or None before the first."""
        return self.overall.record if self.overall is not None else None

    def restore_best_weights(self) -> None:
        """Assigns the best weights overall to the model; before the first epoch, does nothing."""
        if self.overall is not None:
            self.overall.weights.restore()

    @property
    def _epochs(self) -> list[EpochWeights]:
        return [epoch for epoch in (self.before, self.since) if epoch is not None]

    def state(self) -> dict[str, Any]:
        """Returns the best epochs, ready for JSON; `arrays` gives their weights."""
        return {
            "fine_tunes": self.fine_tunes,
            "before": as_json(self.before),
            "since": as_json(self.since),
        }

    def arrays(self) -> dict[str, Callable[[], Sequence[np.ndarray]]]:
        """Returns a function for each file that `state` names, which gives its arrays."""
        return {epoch.file: epoch.weights.arrays for epoch in self._epochs}

    def restore(
        self, state: Mapping[str, Any], arrays: Callable[[str], Sequence[np.ndarray]]
    ) -> None:
        """Goes on from a `state`; `arrays` reads a file that it names."""

        def epoch(saved: Mapping[str, Any] | None) -> EpochWeights | None:
            if saved is None:
                return None
            weights = Snapshot.from_arrays(self._model.variables, arrays(saved["file"]))
            return EpochWeights(saved["record"], weights)

        self.fine_tunes = state["fine_tunes"]
        self.before, self.since = epoch(state["before"]), epoch(state["since"])


def as_json(epoch: EpochWeights | None) -> dict[str, Any] | None:
    """Returns an epoch as its record and the name of the file of its weights."""
    return None if epoch is None else {"record": epoch.record, "file": epoch.file}
