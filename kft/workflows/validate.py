"""Settings that do not fit the data or the backbone, found before any example is read."""

from __future__ import annotations

from kft.config.run_config import RunConfig
from kft.data import Splits
from kft.engine.best import Best
from kft.engine.class_weights import weigh
from kft.engine.selection import check_select
from kft.task import Task


def check_config(config: RunConfig, splits: Splits, task: Task) -> None:
    """Raises ConfigError if phases, monitor, `select` or class weights fit no such run."""
    refuse_phases(config, task)
    weigh(splits.train, splits.target, config.class_weights)


def refuse_phases(config: RunConfig, task: Task) -> None:
    """Raises ConfigError if a phase, the monitor or `select` does not fit `task`."""
    Best(task.model, config.monitored).check_monitor(task.head)
    check_select(config.select, task, config.phases)
