"""Goes back to the last good epoch when training diverges, and on at half the rate.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from kft.engine.callbacks.averages import Average
from kft.engine.divergence import Diverged, DivergenceLimits
from kft.engine.phase_rate import rate_of
from kft.engine.snapshot import Copies, Snapshot
from kft.errors import TrainingError
from kft.phase import Phase
from kft.progress import say

TRIES = 3


class Rollback(keras.callbacks.Callback):
    """Copies all that training changes at the beginning of each epoch, and can go back to it.

    A copy holds the weights, their average, statistics, the seeds of dropout, and the slots and
    the step count of the optimizer. It is good if the loss of the first step that follows is: the
    last step of an epoch may spoil the weights unseen, since its loss is of those before it, and
    validation sees an average of them or may only be overfitted.

    Attributes:
        rollbacks: One entry for each time that it went back, as in ``scores.json``.
        epoch_start: The copy from the beginning of the epoch at work; None before the first.
        is_good: Whether the first loss of the epoch has shown that `epoch_start` is good.
    """

    def __init__(
        self, phase: Phase, average: Average, limits: DivergenceLimits, copies: Copies
    ) -> None:
        super().__init__()
        self.rollbacks: list[dict[str, Any]] = []
        self.epoch_start: Snapshot | None = None
        self.is_good = False
        self._average = average
        self._phase = phase
        self._limits = limits
        self._copies = copies
        # The copy of the epoch before, until `epoch_start` is known to be good.
        self._earlier: Snapshot | None = None
        # The mean training loss of the epoch at work, and of the one before in this phase.
        self._loss = math.inf
        self._loss_before = math.inf
        self._epoch = -1

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Makes the copy."""
        if epoch != self._epoch:
            self._earlier, self._loss_before = self.epoch_start, self._loss
        self._epoch = epoch
        self._begun = self.is_good = False
        self.epoch_start = self._copies.of(self.variables(self.model))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Checks the first loss of the epoch, which is of the weights that it began with."""
        first, self._begun = not self._begun, True
        self._loss = float((logs or {})["loss"])
        if first and self._is_plausible(self._loss):
            self.is_good = True
            self._earlier = None

    def _is_plausible(self, loss: float) -> bool:
        """Says whether sound weights may have a training loss, the first of an epoch.

        Mixing and weights of examples raise the training loss alone, far beyond its limit, so it is
        compared with the epoch before in the same phase, too. In the first there is nothing to
        compare it with, and no copy before it to go back to.
        """
        if not math.isfinite(loss) or not self._limits.exceeded("loss", loss):
            return math.isfinite(loss)
        return loss <= 2 * abs(self._loss_before)

    def variables(self, model: keras.Model) -> list[Any]:
        """Returns all that training changes in the compiled `model`, in the order of a copy."""
        return [*model.variables, *model.optimizer.variables, *self._average.variables]

    def state(self) -> dict[str, Any]:
        """Returns the rollbacks so far, ready for JSON; `epoch_start` is not among them."""
        return {"rollbacks": list(self.rollbacks)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from the rollbacks of a `state`."""
        self.rollbacks = list(state["rollbacks"])

    def go_back(self, found: Diverged) -> int:
        """Goes back to the last good copy, halves the rate, and returns the epoch to repeat.

        Raises:
            TrainingError: It has gone back three times in this phase.
        """
        if len(self.rollbacks) == TRIES:
            raise self._given_up(found) from found
        # The earlier one last: where an optimizer is new, the earlier copy lacks its variables.
        for copy in (self.epoch_start, self._earlier):
            if copy is not None:
                copy.restore()
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
    """Returns the settings, in words, that may keep `phase` from diverging and are not in use."""
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
        """Checks the loss."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise Diverged(self._epoch, batch, f"the loss is {loss}")
