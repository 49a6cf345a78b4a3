"""Writes what each epoch begins with, and has a run that was killed begin with it again.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from kft.distribute.cluster import is_chief
from kft.engine.best import Best, EpochWeights
from kft.engine.callbacks.rollback import Rollback
from kft.engine.optimizer_state import set_steps_ahead, steps_ahead
from kft.engine.phase_rate import rate_of
from kft.engine.run_state import RunState, SavedState
from kft.engine.snapshot import Snapshot
from kft.task import Task

Tell = Callable[[], Mapping[str, Any]]

# An epoch is passed over unless training took so many times as long as saving does.
SPARED = 20


class StateCheckpoint(keras.callbacks.Callback):
    """Saves what an epoch begins with, in at most a twentieth of the time that training takes.

    Stands behind `rollback`, which has copied it. All workers copy, since some variables can only
    be read by all together; the chief writes, and what `tell` gives with it.
    """

    def __init__(
        self, task: Task, best: Best, state: RunState, rollback: Rollback, tell: Tell
    ) -> None:
        super().__init__()
        self._task = task
        self._best = best
        self._state = state
        self._rollback = rollback
        self._tell = tell
        self._place = {id(v): place for place, v in enumerate(task.model.variables)}
        self._due = 0.0

    def begin(self, model: keras.Model, segment: str) -> None:
        """Looks at a `segment` that trains `model`."""
        trained = {id(variable) for variable in model.variables}
        self._still = Snapshot.of(v for v in self._task.model.variables if id(v) not in trained)
        self._still_file = f"still-{segment}.npz"

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the state, if it is time."""
        started = time.monotonic()
        moving = self._rollback.state
        if not is_chief() or started < self._due or moving is None:
            return
        moving_file = f"epoch-{epoch}-{len(self._rollback.rollbacks)}.npz"
        best = {"before": self._best.before, "since": self._best.since}
        kept = {name: each for name, each in best.items() if each is not None}
        told = {
            **self._tell(),
            "epoch": epoch,
            "still": {"file": self._still_file, "at": self._places(self._still)},
            "moving": {"file": moving_file, "at": self._places(moving)},
            "rate_scale": float(rate_of(self.model.optimizer).scale.numpy()),
            "steps_ahead": steps_ahead(self.model.optimizer),
            "averaged": [self._place[known] for known in self._rollback.average.known],
            "best": {
                name: {"record": each.record, "file": file_of(each)} for name, each in kept.items()
            },
        }
        states = {file_of(each): each.weights for each in kept.values()}
        states |= {self._still_file: self._still, moving_file: moving}
        self._state.write(told, {name: state.arrays for name, state in states.items()})
        now = time.monotonic()
        self._due = now + SPARED * (now - started)

    def _places(self, state: Snapshot) -> list[int | None]:
        """Returns which variables of the whole model those of `state` are; None is none."""
        return [self._place.get(id(variable)) for variable in state.variables]


def file_of(kept: EpochWeights) -> str:
    """Returns the name of the file that holds the weights of an epoch that was best."""
    return f"best-{kept.record['epoch']}.npz"


def restore_weights(task: Task, best: Best, found: SavedState) -> None:
    """Gives `task` the weights that it had, and `best` the epochs that were."""
    variables = tuple(task.model.variables)
    for part in (found.told["still"], found.told["moving"]):
        for place, array in zip(part["at"], found.arrays(part["file"]), strict=True):
            if place is not None:
                variables[place].assign(array)
    for name, told in found.told["best"].items():
        values = tuple(tf.constant(array) for array in found.arrays(told["file"]))
        setattr(best, name, EpochWeights(told["record"], Snapshot(variables, values)))
    if best.since is not None:
        best.begin_fine_tuning()


def restore_segment(model: keras.Model, rollback: Rollback, found: SavedState) -> int:
    """Gives a compiled `model` and its optimizer the state they had; returns the next epoch."""
    arrays = found.arrays(found.told["moving"]["file"])
    for variable, array in zip(rollback.variables(model), arrays, strict=True):
        variable.assign(array)
    rate_of(model.optimizer).scale.assign(found.told["rate_scale"])
    set_steps_ahead(model.optimizer, found.told["steps_ahead"])
    return int(found.told["epoch"])
