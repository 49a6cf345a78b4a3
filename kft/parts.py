"""What a phase trains and validates: the whole model, or what follows the kept features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kft.backbone import Stage
from kft.best import Best
from kft.cut import cut
from kft.data import Split, Splits
from kft.features import features_fit, keep_features
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
    """What a phase trains and validates: the whole model, or what follows the kept features.

    Attributes:
        stages: Of the backbone, that the phase trains.
    """

    stages: Sequence[Stage]
    train: Part
    validation: Part
    features_kept: bool = False


def parts_of(task: Task, splits: Splits, stages: Sequence[Stage]) -> Parts:
    """Returns what a phase trains and validates, once the backbone trains `stages` alone.

    What lies before the first trained layer gives the same values in every epoch, so it runs
    once over what is not augmented, and validation never is. What does not fit in memory is
    computed anew.
    """
    augment = task.input.augment if task.input.is_augmented else None
    train = Part(task.model, splits.train, augment)
    validation = Part(task.model, splits.validation)
    found = cut(task.backbone.model)
    if found is None:
        return Parts(stages, train, validation)
    rest = task.head_model if found.suffix is None else rest_of(task, found.suffix)
    if features_fit(found.prefix, splits.validation):
        kept = keep_features(
            found.prefix, splits.validation, "Computing the features of validation"
        )
        validation = Part(rest, kept)
    if augment or not features_fit(found.prefix, splits.train):
        return Parts(stages, train, validation)
    kept = keep_features(found.prefix, splits.train, "Computing the features of train")
    return Parts(stages, Part(rest, kept), validation, features_kept=True)


def rest_of(task: Task, suffix: keras.Model) -> keras.Model:
    """Returns what follows the kept features: `suffix` as the backbone runs, then the head."""
    import keras

    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in suffix.inputs]
    features = task.backbone.applied(suffix)(inputs if len(inputs) > 1 else inputs[0])
    return keras.Model(inputs, task.head_model(features), name="rest_of_task")
