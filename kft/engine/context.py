"""What all phases share: what is trained, on what, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kft.cache.feature_cache import FeatureCache
from kft.data import Split, Splits
from kft.engine.best import Best
from kft.engine.class_weights import weigh
from kft.engine.deadline import Deadline
from kft.engine.divergence import DivergenceLimits
from kft.engine.jit import Jit
from kft.engine.run_state import RunState
from kft.engine.step import Pretrained
from kft.task import Task

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class TrainingContext:
    """What all phases share.

    Attributes:
        task: Trained in place.
        splits: Decoded.
        directory: Of the run, for its logs.
        best: Keeps the weights of the best epoch.
        feature_cache: Keeps what frozen layers give.
        seed: Of order and augmentation.
        batch_size: Examples in one step, where a phase does not say.
        class_weights: How much each class counts in the loss.
        callbacks: Makes the user's callbacks, afresh for each phase.
        rate_factor: What the learning rates of the phases are multiplied by.
        pretrained: The weights of the backbone before the first phase, where one pulls to them.
        state: Where the state of epochs is saved, and what a killed run saved there; or None.
        jit: Whether XLA compiles the steps of training, as in the config.
        augment_on_device: Whether the device that trains augments and mixes its examples.
        deadline: By when the run has to be over; None if at any time.
        limits: Of the loss, beyond which training diverges.
    """

    task: Task
    splits: Splits
    directory: Path
    best: Best
    feature_cache: FeatureCache
    seed: int = 0
    batch_size: int = 32
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None
    callbacks: Callable[[], Sequence[keras.callbacks.Callback]] = tuple
    rate_factor: float = 1.0
    pretrained: Pretrained = field(default_factory=dict)
    state: RunState | None = None
    jit: Jit = "auto"
    augment_on_device: bool = False
    deadline: Deadline | None = None
    limits: DivergenceLimits = field(default_factory=DivergenceLimits)

    @cached_property
    def train_split(self) -> Split:
        """The training examples, weighted by their classes; one object, so that caches know it."""
        return weigh(self.splits.train, self.splits.target, self.class_weights)
