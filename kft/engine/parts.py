"""The models and splits that a phase trains and validates: whole, or from cached features on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from kft.pipeline.augment import augmenting_input
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
    """The model and split that a phase trains, and those that it validates.

    Each is the whole model, or the layers above the frozen ones on their cached features.

    Attributes:
        features: Where the features of training are cached, or why they are not, for people.
        features_kept: Whether the frozen part ran over the training examples just once.
    """

    train: ModelOnSplit
    validation: ModelOnSplit
    features: str
    features_kept: bool = False


@dataclass(frozen=True)
class SegmentEpochs:
    """The epochs of a segment.

    Attributes:
        epochs: Their numbers, counted from 0 over the run.
        augmenting: The input whose `augment` varies training examples, or None.
        mix: How training examples are mixed with one another, or None.
    """

    epochs: range
    augmenting: Input | None = None
    mix: Mix | None = None


def segment_epochs(phase: Phase, segment: Segment, input: Input, first_epoch: int) -> SegmentEpochs:
    """The epochs of `segment`, in a `phase` that begins with epoch `first_epoch` of the run."""
    first = first_epoch + segment.first
    return SegmentEpochs(
        epochs=range(first, first + segment.epochs),
        augmenting=augmenting_input(phase, input),
        mix=mix_of(phase, input, first_epoch),
    )


def train_validation_of(context: TrainingContext, epochs_ahead: SegmentEpochs) -> TrainValidation:
    """Splits the model where training begins; the backbone must be set to train what it will.

    What lies before the first trained layer gives the same values in every epoch, so it runs
    once over what is neither augmented nor mixed, and validation never is; of augmented examples,
    over the views that are to be cached. What cannot be cached is computed in each epoch.
    """
    task, feature_cache = context.task, context.feature_cache
    augment = epochs_ahead.augmenting.augment if epochs_ahead.augmenting else None
    train = ModelOnSplit(task.model, context.train_split, augment, mix=epochs_ahead.mix)
    found = cut(task.backbone.model)
    if found is None:
        return TrainValidation(train, ModelOnSplit(task.model, context.splits.validation), UNCUT)
    rest = rest_of(task, found)
    asked = FeatureRequest(found.prefix, context.splits.validation, "validation")
    validation = on_features(task, asked, rest, feature_cache)
    wanted = training_features(context.train_split, found, feature_cache, epochs_ahead)
    if isinstance(wanted, str):
        return TrainValidation(train, validation, wanted)
    cached = feature_cache.get(wanted)
    if cached.split is None:
        return TrainValidation(train, validation, cached.message)
    train = ModelOnSplit(rest, cached.split, views=wanted.views.order)
    message = computed_once(found, wanted.views, cached.message)
    return TrainValidation(train, validation, message, features_kept=True)


def planned_features(
    task: Task, train: Split, feature_cache: FeatureCache, epochs_ahead: SegmentEpochs
) -> str:
    """The message that `TrainValidation.features` would hold; computes nothing.

    The backbone must be set to train what the phase trains.
    """
    found = cut(task.backbone.model)
    if found is None:
        return UNCUT
    wanted = training_features(train, found, feature_cache, epochs_ahead)
    if isinstance(wanted, str):
        return wanted
    place = feature_cache.place(wanted, digest_layers(found.prefix) is not None)
    return place.message if place.is_nowhere else computed_once(found, wanted.views, place.message)


def training_features(
    train: Split, found: Cut, feature_cache: FeatureCache, epochs_ahead: SegmentEpochs
) -> FeatureRequest | str:
    """The features of training that can be cached, or why none can, for people."""
    if epochs_ahead.mix:
        return reason_not_cached(MIXED, feature_cache)
    views = views_of(
        epochs_ahead.augmenting,
        feature_cache.seed,
        feature_cache.cache_policy.views,
        epochs_ahead.epochs,
    )
    if views is None:
        return reason_not_cached(AUGMENTED, feature_cache)
    return FeatureRequest(found.prefix, train, "train", views)


def reason_not_cached(why: str, feature_cache: FeatureCache) -> str:
    """Why features are computed in each epoch: since the cache is off, or else `why`."""
    return OFF if feature_cache.cache_policy.mode == "off" else why


def computed_once(found: Cut, views: Views, where: str) -> str:
    """Says for people that features are computed once: up to which layer, and `where` they are."""
    count = len(views.variants)
    of_views = "" if count == 1 else f" for each of {count} views of an example"
    up_to = "" if found.suffix is None else ", up to the first layer that trains"
    return f"computed once{of_views}{up_to}: {where}"


def part_of(task: Task, split: Split, name: str, feature_cache: FeatureCache) -> ModelOnSplit:
    """The model that predicts `split`, from cached features on if there can be any."""
    found = cut(task.backbone.model)
    if found is None:
        return ModelOnSplit(task.model, split)
    return on_features(
        task, FeatureRequest(found.prefix, split, name), rest_of(task, found), feature_cache
    )


def on_features(
    task: Task, wanted: FeatureRequest, rest: keras.Model, feature_cache: FeatureCache
) -> ModelOnSplit:
    """`rest` on the features that are `wanted`, if they can be cached, else the whole model."""
    cached = feature_cache.get(wanted)
    return (
        ModelOnSplit(task.model, wanted.split)
        if cached.split is None
        else ModelOnSplit(rest, cached.split)
    )


def rest_of(task: Task, found: Cut) -> keras.Model:
    """The layers above the cached features: the rest of the backbone, then the head."""
    import keras

    suffix = found.suffix
    if suffix is None:
        # Not the head itself, which Keras would save with the optimizer it is compiled with.
        return keras.Model(task.head_model.input, task.head_model.output, name="rest_of_task")
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in suffix.inputs]
    features = task.backbone.applied(suffix)(inputs if len(inputs) > 1 else inputs[0])
    return keras.Model(inputs, task.head_model(features), name="rest_of_task")
