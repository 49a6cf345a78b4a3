"""What the fits of a run share: the run itself, its folds, and the refit on all examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft.cache.feature_cache import FeatureCache
from kft.config.run_config import RunConfig
from kft.data import Splits
from kft.distribute.cluster import is_chief
from kft.engine.best import Best
from kft.engine.context import TrainingContext
from kft.engine.deadline import Deadline
from kft.engine.run_state import RunState
from kft.engine.snapshot import Snapshot
from kft.results.run_directory import agreed_state
from kft.storage.run_files import ARRAYS
from kft.task import Task


@dataclass(frozen=True, eq=False)
class Fits:
    """The fits of a run: that of the phases in its config, of its folds, and the refit.

    Attributes:
        task: Trained in place.
        splits: Decoded.
        state: Of the run; the other fits have states of their own, in folders within its own.
        fresh: The weights that each fit begins with.
        resume: Whether the run goes on from what a killed one left.
        deadline: By when the run has to be over; None if at any time.
    """

    config: RunConfig
    task: Task
    splits: Splits
    state: RunState
    fresh: Snapshot
    resume: bool
    deadline: Deadline | None = None

    def main(self) -> TrainingContext:
        """What the phases of the config share."""
        return self._context(self.splits, self.state, lambda: own_callbacks(self.config))

    def within(self, folder: str, splits: Splits) -> TrainingContext:
        """The same for a fit to other `splits`, from the fresh weights, with files in a `folder`.

        Without the user's callbacks, which would write over what they wrote in the main fit.
        """
        directory = self.state.directory / folder
        (directory / ARRAYS).mkdir(parents=True, exist_ok=True)
        there = Path(self.config.output_dir) / folder
        self.fresh.restore()
        state = RunState(directory, agreed_state(there) if self.resume else None)
        return self._context(splits, state, tuple)

    def _context(
        self, splits: Splits, state: RunState, callbacks: Callable[[], Sequence[Any]]
    ) -> TrainingContext:
        config, task = self.config, self.task
        return TrainingContext(
            task=task,
            splits=splits,
            directory=state.directory,
            best=Best(task.model, config.monitored),
            feature_cache=FeatureCache(config.cache_policy, config.seed, task.backbone.name),
            seed=config.seed,
            batch_size=config.data.batch_size,
            class_weights=config.class_weights,
            rate_factor=config.distribute.rate_factor(),
            callbacks=callbacks,
            state=state,
            jit=config.jit,
            augment_on_device=config.distribute.augments_on_device,
            deadline=self.deadline,
        )


def own_callbacks(config: RunConfig) -> list[Any]:
    """The callbacks of the user, afresh; those that only write, for the chief alone."""
    import keras

    if is_chief():
        for named in config.callbacks:
            named.make_room(Path(config.output_dir))
    writers = (
        keras.callbacks.ModelCheckpoint,
        keras.callbacks.CSVLogger,
        keras.callbacks.OrbaxCheckpoint,
        keras.callbacks.TensorBoard,
    )
    return [
        callback
        for callback in config.built_callbacks()
        if is_chief() or not isinstance(callback, writers)
    ]
