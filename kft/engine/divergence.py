"""Decides when training has diverged, besides a loss that is not a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# The limit where earlier losses are no measure: so many times the loss before the run's first
# step, of a model that has learned nothing.
AT_MOST = 10.0


class Diverged(Exception):
    """An epoch that must not count.

    Attributes:
        epoch: Its number, counted from 0 over the run.
        step: Number of the step that went wrong, or None if it shows in the epoch as a whole.
        problem: What is wrong, with the values found.
    """

    def __init__(self, epoch: int, step: int | None, problem: str) -> None:
        super().__init__(problem)
        self.epoch = epoch
        self.step = step
        self.problem = problem


class DivergenceLimits:
    """How high the losses of an epoch may be before it counts as diverged.

    An epoch has diverged if its loss, on training *and* on validation examples, is more than
    twice the lowest so far in the run, and nearer to the loss before the run's first step than
    to that lowest. Overfitting raises only one of the two, mixup and the like only the other, and
    noise is small beside what training has gained.
    """

    def __init__(self) -> None:
        self._start: float | None = None
        self._lowest: dict[str, float] = {}

    def begin(self, before: Mapping[str, Any]) -> None:
        """Takes the validation loss `before` the first step of a phase; the run's first counts."""
        if self._start is None:
            self._start = before["val_loss"]
            self._lowest = {"loss": self._start, "val_loss": self._start}

    def state(self) -> dict[str, Any]:
        """Returns the losses that the limits are made of, ready for JSON."""
        return {"start": self._start, "lowest": dict(self._lowest)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from the losses of a `state`."""
        self._start, self._lowest = state["start"], dict(state["lowest"])

    def forget_lowest(self) -> None:
        """Takes the losses so far for no measure, since the next ones are of another function.

        Batch normalisation that takes up the statistics of the new data gives the head features
        that it was not trained on; the loss rises at first, and that is meant. Far above that of
        a model that has learned nothing it is not.
        """
        self._lowest = dict.fromkeys(self._lowest, math.inf)

    def check(self, record: Mapping[str, Any]) -> None:
        """Raises Diverged if `record`, of the epoch just ended, is beyond the limits."""
        if not math.isfinite(record["val_loss"]) and math.isfinite(self._start or 0.0):
            raise Diverged(
                record["epoch"] - 1, None, f"the validation loss is {record['val_loss']}"
            )
        if all(self.exceeded(key, record[key]) for key in self._lowest):
            lowest = self._lowest["loss"]
            before = lowest if math.isfinite(lowest) else self._start
            problem = f"the loss blew up to {record['loss']:.4g}, after {before:.4g}"
            raise Diverged(record["epoch"] - 1, None, problem)
        for key, value in self._lowest.items():
            self._lowest[key] = min(value, record[key])

    def exceeded(self, key: str, value: float) -> bool:
        """Says whether a loss, `key` ``loss`` or ``val_loss``, is beyond its limit or NaN."""
        return math.isnan(value) or value > self._limit(key)

    def _limit(self, key: str) -> float:
        lowest = self._lowest[key]
        if math.isinf(lowest):
            return AT_MOST * abs(self._start or math.inf)
        return lowest + max(abs(lowest), ((self._start or 0.0) - lowest) / 2)
