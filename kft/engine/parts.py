"""What a phase trains and validates: the whole model, or what follows the kept features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft.backbone import Stage
from kft.cache.feature_cache import FeatureCache, FeatureRequest
from kft.cache.key import digest_layers
from kft.cache.place import OFF
from kft.cache.views import Views, views_of
from kft.data import Split
from kft.engine.context import TrainingContext
from kft.engine.cut import Cut, cut
from kft.engine.segments import Segment
from kft.input import Input
from kft.phase import Phase
from kft.pipeline.mix import Mix, mix_of
from kft.task import Task

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

UNCUT = "computed anew: the backbone trains from its first layer on"
AUGMENTED = (
    "computed anew: the examples are augmented, and cache_views is 0; those of validation once"
)
MIXED = "computed anew: the examples are mixed; those of validation once"


@dataclass(frozen=True, eq=False)
class ModelOnSplit:
    """A model and a split whose examples it takes.

    Attributes:
        augment: As `Input.augment`, or None.
        views: Which variant of the examples the epochs take in turn, as `Order.views`.
        mix: How examples are mixed with one another, after all that.
    """

    model: keras.Model
    split: Split
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    views: tuple[int, ...] = (0,)
    mix: Mix | None = None


@dataclass(frozen=True, eq=False)
class TrainValidation:
    """What a phase trains and validates: the whole model, or what follows the kept features.

    Attributes:
        stages: Of the backbone, that the phase trains.
        features: Whether the features of training are kept and where, or why not, for people.
        features_kept: Whether the frozen part ran over the training examples just once.
    """

    stages: Sequence[Stage]
    train: ModelOnSplit
    validation: ModelOnSplit
    features: str
    features_kept: bool = False


@dataclass(frozen=True)
class Ahead:
    """What is ahead of those who train.

    Attributes:
        epochs: Their numbers, counted from 0 over the run.
        mix: How training examples are mixed with one another, or None.
    """

    epochs: range
    mix: Mix | None = None


def ahead_of(phase: Phase, segment: Segment, input: Input, first_epoch: int) -> Ahead:
    """Returns what is ahead in `segment` of a `phase` that begins with `first_epoch` of the run."""
    first = first_epoch + segment.first
    return Ahead(range(first, first + segment.epochs), mix_of(phase, input, first_epoch))


def train_validation_of(
    context: TrainingContext, stages: Sequence[Stage], ahead: Ahead
) -> TrainValidation:
    """Returns what a phase trains and validates, once the backbone trains `stages` alone.

    What lies before the first trained layer gives the same values in every epoch, so it runs
    once over what is neither augmented nor mixed, and validation never is; of augmented examples,
    over the views that are to be kept. What cannot be kept is computed anew.
    """
    task, feature_cache = context.task, context.feature_cache
    augment = task.input.augment if task.input.is_augmented else None
    train = ModelOnSplit(task.model, context.train_split, augment, mix=ahead.mix)
    found = cut(task.backbone.model)
    if found is None:
        return TrainValidation(
            stages, train, ModelOnSplit(task.model, context.splits.validation), UNCUT
        )
    rest = rest_of(task, found)
    asked = FeatureRequest(found.prefix, context.splits.validation, "validation")
    validation = kept_part(task, asked, rest, feature_cache)
    wanted = training_features(task, context.train_split, found, feature_cache, ahead)
    if isinstance(wanted, str):
        return TrainValidation(stages, train, validation, wanted)
    kept = feature_cache.get(wanted)
    if kept.split is None:
        return TrainValidation(stages, train, validation, kept.message)
    train = ModelOnSplit(rest, kept.split, views=wanted.views.order)
    told = once(found, wanted.views, kept.message)
    return TrainValidation(stages, train, validation, told, features_kept=True)


def planned_features(task: Task, train: Split, feature_cache: FeatureCache, ahead: Ahead) -> str:
    """Returns what `TrainValidation.features` would be; computes nothing.

    The backbone has been told what it trains.
    """
    found = cut(task.backbone.model)
    if found is None:
        return UNCUT
    wanted = training_features(task, train, found, feature_cache, ahead)
    if isinstance(wanted, str):
        return wanted
    place = feature_cache.place(wanted, digest_layers(found.prefix) is not None)
    return place.message if place.is_nowhere else once(found, wanted.views, place.message)


def training_features(
    task: Task, train: Split, found: Cut, feature_cache: FeatureCache, ahead: Ahead
) -> FeatureRequest | str:
    """Returns the features of training that can be kept, or why none can, for people."""
    if ahead.mix:
        return anew(MIXED, feature_cache)
    views = views_of(task.input, feature_cache.seed, feature_cache.cache_policy.views, ahead.epochs)
    if views is None:
        return anew(AUGMENTED, feature_cache)
    return FeatureRequest(found.prefix, train, "train", views)


def anew(why: str, feature_cache: FeatureCache) -> str:
    """Returns why features are computed anew: because it is wished, or else `why`."""
    return OFF if feature_cache.cache_policy.mode == "off" else why


def once(found: Cut, views: Views, where: str) -> str:
    """Returns that features are computed once, how often, how far, and `where` they are."""
    count = len(views.variants)
    of_views = "" if count == 1 else f" for each of {count} views of an example"
    up_to = "" if found.suffix is None else ", up to the first layer that trains"
    return f"computed once{of_views}{up_to}: {where}"


def part_of(task: Task, split: Split, name: str, feature_cache: FeatureCache) -> ModelOnSplit:
    """Returns what answers for `task` to `split`, once the backbone has been told what changes."""
    found = cut(task.backbone.model)
    if found is None:
        return ModelOnSplit(task.model, split)
    return kept_part(
        task, FeatureRequest(found.prefix, split, name), rest_of(task, found), feature_cache
    )


def kept_part(
    task: Task, wanted: FeatureRequest, rest: keras.Model, feature_cache: FeatureCache
) -> ModelOnSplit:
    """Returns `rest` on the features that are `wanted`, if they are kept, else the whole model."""
    kept = feature_cache.get(wanted)
    return (
        ModelOnSplit(task.model, wanted.split)
        if kept.split is None
        else ModelOnSplit(rest, kept.split)
    )


def rest_of(task: Task, found: Cut) -> keras.Model:
    """Returns what follows the kept features: the suffix as the backbone runs, then the head."""
    import keras

    suffix = found.suffix
    if suffix is None:
        # Not the head itself, which Keras would save with the optimizer it is compiled with.
        return keras.Model(task.head_model.input, task.head_model.output, name="rest_of_task")
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in suffix.inputs]
    features = task.backbone.applied(suffix)(inputs if len(inputs) > 1 else inputs[0])
    return keras.Model(inputs, task.head_model(features), name="rest_of_task")
