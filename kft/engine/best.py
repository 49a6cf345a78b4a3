"""The best epochs: before fine-tuning began, and since."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.engine.snapshot import Snapshot
from kft.errors import ConfigError
from kft.head import Head
from kft.messages import closest
from kft.scoring.direction import lower_is_better

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class EpochWeights:
    """An epoch and the weights at its end.

    Attributes:
        record: As a line of ``metrics.jsonl``.
    """

    record: Mapping[str, Any]
    weights: Snapshot


class Best:
    """Keeps the weights of the best epoch before fine-tuning began, and of the best since.

    The best has the highest validation `monitor`, or the lowest of a loss or an error; ties go by
    lower validation loss. Fine-tuning
    begins with the first phase after another that trains some of the backbone.

    Attributes:
        monitor: The name of the metric.
        before: The best epoch before fine-tuning, or None before the first.
        since: The best epoch of fine-tuning, or None before its first.
    """

    def __init__(self, model: keras.Model, monitor: str) -> None:
        self._model = model
        self.monitor = monitor
        self._fine_tunes = False
        self.before: EpochWeights | None = None
        self.since: EpochWeights | None = None

    def check_monitor(self, head: Head) -> None:
        """Raises ConfigError if the monitored metric is none of those of `head`."""
        known = ["loss", *(metric.name for metric in head.metrics())]
        if self.monitor not in known:
            raise ConfigError(
                where="monitor",
                problem=f"there is no metric {self.monitor!r}{closest(self.monitor, known)}",
                fix="Take one of the metrics of the head, or null for its first",
            )

    def score(self, record: Mapping[str, Any]) -> tuple[float, float]:
        """Returns what is compared between epochs; the higher is better."""
        sign = -1 if lower_is_better(self.monitor) else 1
        score, loss = sign * float(record[f"val_{self.monitor}"]), -float(record["val_loss"])
        return (-math.inf if math.isnan(score) else score, -math.inf if math.isnan(loss) else loss)

    def among(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Returns the best of `records`, the earliest of equals."""
        return max(records, key=self.score)

    def begin_fine_tuning(self) -> None:
        """Keeps what is best so far, whatever comes."""
        self._fine_tunes = True

    def consider(self, record: Mapping[str, Any]) -> None:
        """Keeps the weights if `record`, of the epoch just ended, is the best so far."""
        rival = self.since if self._fine_tunes else self.before
        if rival is not None and self.score(record) <= self.score(rival.record):
            return
        kept = EpochWeights(record, Snapshot.of(self._model.variables))
        if self._fine_tunes:
            self.since = kept
        else:
            self.before = kept

    @property
    def kept(self) -> EpochWeights | None:
        """The best epoch of all, or None before the first."""
        found = [kept for kept in (self.before, self.since) if kept is not None]
        return max(found, key=lambda kept: self.score(kept.record), default=None)

    @property
    def record(self) -> Mapping[str, Any] | None:
        """Of the best epoch of all, or None before the first."""
        return self.kept.record if self.kept is not None else None

    def restore(self) -> None:
        """Puts the best weights of all back into the model; nothing happens if there are none."""
        if self.kept is not None:
            self.kept.weights.restore()
