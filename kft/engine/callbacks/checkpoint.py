"""Saves the state that an epoch began with, so that a killed run can go on from there.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras

from kft.distribute.cluster import is_chief
from kft.engine.callbacks.recorder import Recorder
from kft.engine.callbacks.rollback import Rollback
from kft.engine.optimizer_state import restore_outside_variables, state_outside_variables
from kft.engine.phase_rate import rate_of
from kft.engine.run_state import RunState, SavedState
from kft.engine.snapshot import Snapshot, positions_in

if TYPE_CHECKING:
    from kft.engine.context import TrainingContext

# An epoch is not saved unless training has taken this many times as long as saving does.
TRAINING_PER_SAVING = 20


class StateCheckpoint(keras.callbacks.Callback):
    """Saves the state at the beginning of an epoch, in at most a twentieth of the training time.

    It collects what each owner says of itself. The weights come from two snapshots: that of
    `rollback`, behind which it stands, and one of the variables that a segment does not touch,
    which is written once. It saves after the first step, whose loss shows whether the weights
    before it are good. All workers copy, since some variables can only be read by all together;
    only the chief writes.
    """

    def __init__(
        self,
        run_state: RunState,
        context: TrainingContext,
        rollback: Rollback,
        recorder: Recorder,
        phase_state: Callable[[], Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self._run_state = run_state
        self._best = context.best
        self._whole = context.task.model
        self._rollback = rollback
        self._recorder = recorder
        self._phase_state = phase_state
        self._due = 0.0

    def begin(self, model: keras.Model, segment: str) -> None:
        """Saves a segment that trains `model`; its name `segment` is unique in the run."""
        trained = {id(variable) for variable in model.variables}
        untouched = (v for v in self._whole.variables if id(v) not in trained)
        self._untouched = self._best.copies.of(untouched)
        self._untouched_file = f"untouched-{segment}.npz"

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves the state after the first step, if it is time and the state is good."""
        started = time.monotonic()
        epoch_start = self._rollback.epoch_start
        is_due = batch == 0 and started >= self._due and is_chief()
        if not is_due or not self._rollback.is_good or epoch_start is None:
            return
        self._save(epoch_start)
        seconds = time.monotonic() - started
        self._due = time.monotonic() + TRAINING_PER_SAVING * seconds
        self._recorder.leave_out(seconds)

    def _save(self, epoch_start: Snapshot) -> None:
        # A run may go on with other steps, and counts those before as if they had been such.
        steps = rate_of(self.model.optimizer).steps_per_epoch
        epoch_file = f"epoch-{self._epoch}-{len(self._rollback.rollbacks)}-{steps}.npz"
        state = {
            **self._phase_state(),
            "epoch": self._epoch,
            "best": self._best.state(),
            "optimizer": state_outside_variables(self.model.optimizer),
            "untouched": self._described(self._untouched_file, self._untouched),
            "epoch_start": self._described(epoch_file, epoch_start),
        }
        arrays = {self._untouched_file: self._untouched.arrays, epoch_file: epoch_start.arrays}
        self._run_state.write(state, {**arrays, **self._best.arrays()})

    def _described(self, file: str, snapshot: Snapshot) -> dict[str, Any]:
        """Returns the `file` of `snapshot`, and the positions of its variables in the model."""
        return {"file": file, "positions": positions_in(self._whole, snapshot.variables)}


def restore_weights(whole: keras.Model, saved: SavedState) -> None:
    """Assigns to the `whole` model the weights that it had."""
    variables = tuple(whole.variables)
    for name in ("untouched", "epoch_start"):
        part = saved.state[name]
        for position, array in zip(part["positions"], saved.arrays(part["file"]), strict=True):
            if position is not None:
                variables[position].assign(array)


def restore_segment(model: keras.Model, rollback: Rollback, saved: SavedState) -> int:
    """Gives a compiled `model`, its optimizer and its average the state that they had.

    Returns the epoch to begin with, counted from 0 over the run.
    """
    arrays = saved.arrays(saved.state["epoch_start"]["file"])
    for variable, array in zip(rollback.variables(model), arrays, strict=True):
        variable.assign(array)
    restore_outside_variables(model.optimizer, saved.state["optimizer"])
    return int(saved.state["epoch"])
