"""What a phase trains and validates: the whole model, or its head on kept features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kft.backbone import Stage
from kft.best import Best
from kft.data import Split, Splits
from kft.features import keep_features
from kft.task import Task

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True)
class Training:
    """What holds for all phases.

    Attributes:
        directory: Of the run, for its logs.
        best: Keeps the weights of the best epoch.
        seed: Of order and augmentation.
        batch_size: Examples in one step, where a phase does not say.
        class_weights: How much each class counts in the loss.
        callbacks: Makes the user's callbacks, afresh for each phase.
    """

    directory: Path
    best: Best
    seed: int = 0
    batch_size: int = 32
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None
    callbacks: Callable[[], Sequence[keras.callbacks.Callback]] = tuple


@dataclass(frozen=True, eq=False)
class Part:
    """A model and a split whose examples it takes.

    Attributes:
        augment: As `Input.augment`, or None.
    """

    model: keras.Model
    split: Split
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None


@dataclass(frozen=True, eq=False)
class Parts:
    """What a phase trains and validates: the whole model, or its head on kept features.

    Attributes:
        stages: Of the backbone, that the phase trains.
    """

    stages: Sequence[Stage]
    train: Part
    validation: Part
    features_kept: bool = False


def whole(task: Task, splits: Splits, stages: Sequence[Stage]) -> Parts:
    """Returns the parts of a phase that trains some of the backbone."""
    augment = task.input.augment if task.input.is_augmented else None
    return Parts(
        stages, Part(task.model, splits.train, augment), Part(task.model, splits.validation)
    )


def frozen(task: Task, splits: Splits) -> Parts:
    """Returns the parts of a phase that trains the head alone.

    A frozen backbone without augmentation gives the same features in every epoch, so it runs
    once. Validation is never augmented.
    """
    backbone = task.backbone.applied()
    backbone.build((None, *task.input.spec.shape))
    validation = keep_features(backbone, splits.validation, "Features of validation")
    head = task.head_model
    if task.input.is_augmented:
        return replace(whole(task, splits, ()), validation=Part(head, validation))
    kept = keep_features(backbone, splits.train, "Features of train")
    return Parts((), Part(head, kept), Part(head, validation), features_kept=True)
