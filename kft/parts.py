"""What a phase trains and validates: the whole model, or its head on kept features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kft.backbone import Stage
from kft.best import Best
from kft.data import Split, Splits
from kft.features import fits, keep_features
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

    A frozen backbone gives the same features in every epoch, so it runs once over what is not
    augmented, and validation never is. Features that do not fit in memory are computed anew.
    """
    parts = whole(task, splits, ())
    if features_fit(task, splits.validation):
        parts = replace(parts, validation=on_features(task, splits.validation, "validation"))
    if parts.train.augment or not features_fit(task, splits.train):
        return parts
    return replace(parts, train=on_features(task, splits.train, "train"), features_kept=True)


def features_fit(task: Task, split: Split) -> bool:
    """Says whether the features of `split` may be kept in memory."""
    import tensorflow as tf

    return fits(split.size, tf.TensorSpec(task.backbone.model.output_shape[1:], tf.float32))


def on_features(task: Task, split: Split, name: str) -> Part:
    """Returns the head, with the features of `split` in memory."""
    return Part(task.head_model, keep_features(task.backbone.model, split, f"Features of {name}"))
