"""Selection: the weights of the best epoch over all phases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kft.component import closest
from kft.errors import ConfigError

if TYPE_CHECKING:
    import keras


class Best:
    """Keeps a copy of the weights of the best epoch so far.

    The best has the highest validation `monitor`, ties by lower validation loss.

    Attributes:
        record: Of the best epoch, or None before the first.
    """

    def __init__(self, model: keras.Model, monitor: str) -> None:
        self._model = model
        self._monitor = monitor
        self._weights: list[Any] = []
        self.record: Mapping[str, Any] | None = None

    def check_monitor(self, known: Sequence[str]) -> None:
        """Raises ConfigError if the monitored metric is none of the `known` ones."""
        if self._monitor not in known:
            raise ConfigError(
                where="monitor",
                problem=f"there is no metric {self._monitor!r}{closest(self._monitor, known)}",
                fix="Take one of the metrics of the head",
            )

    def score(self, record: Mapping[str, Any]) -> tuple[float, float]:
        """Returns what is compared between epochs; the higher is better."""
        loss = float(record["val_loss"])
        loss = math.inf if math.isnan(loss) else loss
        if self._monitor == "loss":
            return (-loss, -loss)
        return (float(record[f"val_{self._monitor}"]), -loss)

    def among(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Returns the best of `records`, the earliest of equals."""
        return max(records, key=self.score)

    def consider(self, record: Mapping[str, Any]) -> None:
        """Copies the weights if `record`, of the epoch just ended, is the best so far."""
        if self.record is None or self.score(record) > self.score(self.record):
            self.record = record
            self._weights = [variable.numpy().copy() for variable in self._model.variables]

    def restore(self) -> None:
        """Puts the best weights back into the model; nothing happens if there are none."""
        for variable, value in zip(self._model.variables, self._weights, strict=False):
            variable.assign(value)
