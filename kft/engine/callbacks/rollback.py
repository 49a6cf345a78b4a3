"""When training diverges: back to the last good epoch, and on at half the rate.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

import math
from typing import Any

import keras

from kft.engine.callbacks.averages import Average
from kft.engine.divergence import Diverged, DivergenceLimits
from kft.engine.phase_rate import rate_of
from kft.engine.snapshot import Snapshot
from kft.errors import TrainingError
from kft.phase import Phase
from kft.progress import say

TRIES = 3


class Rollback(keras.callbacks.Callback):
    """Holds the state after the last good epoch, and goes back to it.

    The state is all that a step changes: weights, their average, statistics, the seeds of
    dropout, and the slots and the count of the optimizer. That after an epoch is good if the loss
    of the step that follows is: the last step of an epoch may spoil the weights unseen, since its
    loss is of those before it, and validation sees an average of them or may only be overfitted.

    Attributes:
        rollbacks: One entry for each time that it went back, as in ``scores.json``.
        state: That after the epoch before.
        average: Of the weights.
    """

    def __init__(self, phase: Phase, average: Average, limits: DivergenceLimits) -> None:
        super().__init__()
        self.average = average
        self.rollbacks: list[dict[str, Any]] = []
        self.state: Snapshot | None = None
        self._phase = phase
        self._limits = limits
        # That of an epoch earlier, until the first loss has shown that `state` is good.
        self._earlier: Snapshot | None = None
        self._epoch = -1

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Copies the state."""
        if epoch != self._epoch:
            self._earlier = self.state
        self._epoch = epoch
        self._begun = False
        self.state = Snapshot.of(self.variables(self.model))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the first loss of the epoch, which is of the state that it began with."""
        first, self._begun = not self._begun, True
        if first and not self._limits.exceeded("loss", float((logs or {})["loss"])):
            self._earlier = None

    def variables(self, model: keras.Model) -> list[Any]:
        """Returns all that a step of the compiled `model` changes."""
        return [*model.variables, *model.optimizer.variables, *self.average.state]

    def go_back(self, found: Diverged) -> int:
        """Restores the state, halves the rate, and returns the epoch to go on with.

        Raises:
            TrainingError: It has gone back three times in this phase.
        """
        if len(self.rollbacks) == TRIES:
            raise self._given_up(found) from found
        # The earlier one last: where an optimizer is new, it lacks that one's state.
        for state in (self.state, self._earlier):
            if state is not None:
                state.restore()
        scale = rate_of(self.model.optimizer).scale
        scale.assign(scale / 2)
        record = {
            "epoch": found.epoch + 1,
            "problem": found.problem,
            "rate_scale": float(scale.numpy()),
        }
        self.rollbacks.append(record)
        since = "its beginning" if self._earlier is None else "that of the epoch before"
        epoch = f"{self._phase.name}, epoch {found.epoch + 1}"
        say(
            f"{epoch}: {found.problem}. Once more from {since}, "
            f"at half the learning rate ({len(self.rollbacks)} of {TRIES})"
        )
        return self._epoch

    def _given_up(self, found: Diverged) -> TrainingError:
        step = "" if found.step is None else f", step {found.step + 1}"
        return TrainingError(
            where=f"phase {self._phase.name!r}, epoch {found.epoch + 1}{step}",
            problem=f"{found.problem}, even after the learning rate was halved {TRIES} times",
            fix=advice(self._phase),
        )


def advice(phase: Phase) -> str:
    """Returns what may keep `phase` from diverging and is not done yet."""
    ways = ["Lower the learning rate of the phase"]
    if phase.clip_norm is None or phase.clip_norm > 1:
        ways.append("set its clip_norm to 1")
    if not phase.schedule.warmup_epochs:
        ways.append("give its schedule a warm-up")
    return ", or ".join(ways)


class NanGuard(keras.callbacks.Callback):
    """Raises Diverged at the first step whose loss is not a number."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch, for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the loss."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise Diverged(self._epoch, batch, f"the loss is {loss}")
