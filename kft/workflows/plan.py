"""Says what a run would do: what trains when, at which rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kft.backbone import Stage
from kft.cache.feature_cache import FeatureCache
from kft.config.recipe import reasons
from kft.config.run_config import RunConfig, in_json, kind_first
from kft.data import Split, Splits
from kft.engine.parts import SegmentEpochs, planned_features, segment_epochs
from kft.engine.prepare import steps_per_epoch
from kft.engine.segments import Segment, segments_of
from kft.engine.step import HEAD, stage_factors
from kft.engine.train import parameters
from kft.phase import Phase
from kft.results.counts import class_counts
from kft.task import Task
from kft.workflows.setup import SetUp, facts_of, set_up
from kft.workflows.unused_settings import unused_settings


@dataclass(frozen=True)
class PhasePlan:
    """What one phase would do.

    Attributes:
        stages: Names of the backbone stages that it trains in the end, input side first.
        stage_counts: How many stages it trains, in turn; one number unless it unfreezes gradually.
        trained_parameters: How many numbers it could change, the head's included.
        steps_per_epoch: Optimizer steps.
        learning_rates: At the first step and at the end of each epoch.
        rate_factors: What the rate is multiplied by for each of `stages`, and for the head.
        features: Whether those of training are computed once and where they are kept, or why not.
    """

    name: str
    epochs: int
    optimizer: str
    stages: tuple[str, ...]
    stage_counts: tuple[int, ...]
    trained_parameters: int
    steps_per_epoch: int
    learning_rates: tuple[float, ...]
    rate_factors: tuple[float, ...]
    features: str


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        counts: Examples of each class or label, by split.
        stages: Names of all stages of the backbone, input side first.
        parameters: Numbers in the whole model.
        recipe: Why phases that are left out are as they are, and what is trained besides them.
        settings: Of the phases, as JSON has them.
        called: What messages call several examples.
    """

    backbone: str
    parameters: int
    stages: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    sizes: Mapping[str, int]
    notes: tuple[str, ...]
    phases: tuple[PhasePlan, ...]
    recipe: tuple[str, ...]
    settings: Sequence[Mapping[str, Any]]
    called: str = "examples"


def plan(config: RunConfig) -> Plan:
    """Plans the run of `config`; trains nothing and downloads no weights.

    Raises:
        KftError: The data is not there, or a setting fits neither it nor the backbone.
    """
    ready = set_up(config, pretrained=False)
    recipe = tuple(about_recipe(config, ready))
    config, splits, task = ready.config, ready.splits, ready.task
    phases = plan_phases(config, splits, task)
    trained = [phase.stages for phase in phases]
    return Plan(
        backbone=task.backbone.name,
        parameters=task.model.count_params(),
        stages=tuple(stage.name for stage in task.backbone.stages),
        counts=class_counts(splits),
        sizes=splits.sizes,
        notes=(
            *splits.notes,
            *order_notes(phases),
            *unused_settings(config, task.backbone, trained),
        ),
        phases=phases,
        recipe=recipe,
        settings=kind_first(in_json(config.phases)),
        called=splits.input.plural,
    )


def about_recipe(config: RunConfig, ready: SetUp) -> Iterator[str]:
    """Yields why the phases that `config` leaves out are as they are, and what comes after them."""
    if not config.phases:
        yield reasons(config.effort, facts_of(config, ready.splits, ready.task.backbone))
    if config.time_budget:
        yield f"the run measures an epoch, and fine-tunes for as many as {config.time_budget} allow"
    if ready.config.refit:
        yield "refit: after that, all phases once more, on training and validation examples"
    if config.folds:
        yield f"folds: the phases are trained {config.folds} more times, for out-of-fold answers"


def plan_phases(config: RunConfig, splits: Splits, task: Task) -> tuple[PhasePlan, ...]:
    """A plan for each phase; changes which variables of `task` are trainable."""
    plans = []
    feature_cache = FeatureCache(config.cache_policy, config.seed, task.backbone.name)
    first_epoch = 0
    for number, phase in enumerate(config.phases):
        segments = segments_of(task, phase, number)
        ahead = [segment_epochs(phase, segment, task.input, first_epoch) for segment in segments]
        features = planned(task, splits.train, segments, feature_cache, ahead)
        stages = segments[-1].stages
        batch_size = phase.batch_size or config.data.batch_size
        steps = steps_per_epoch(splits.train, batch_size * phase.accumulate_steps)
        plans.append(
            PhasePlan(
                name=phase.name,
                epochs=phase.epochs,
                optimizer=phase.optimizer.kind,
                stages=tuple(stage.name for stage in stages),
                stage_counts=tuple(len(segment.stages) for segment in segments),
                trained_parameters=parameters(task.model),
                steps_per_epoch=steps,
                learning_rates=learning_rates(phase, steps),
                rate_factors=rate_factors(phase, task, stages),
                features=features,
            )
        )
        first_epoch += phase.epochs
    return tuple(plans)


def order_notes(phases: Sequence[PhasePlan]) -> Iterator[str]:
    """Yields what to think of where a new head is trained alone after the backbone under it."""
    alone = next((phase.name for phase in phases if not phase.stages), None)
    if phases[0].stages and alone is not None:
        yield (
            f"phase {phases[0].name!r} trains the backbone under a head that knows nothing yet, "
            f"and {alone!r}, after it, the head alone: look whether that is the order you want"
        )


def planned(
    task: Task,
    train: Split,
    segments: Sequence[Segment],
    feature_cache: FeatureCache,
    ahead: Sequence[SegmentEpochs],
) -> str:
    """Where each segment caches features; leaves the backbone as the last one trains it."""
    messages = []
    for segment, each in zip(segments, ahead, strict=True):
        task.backbone.train_only(segment.stages)
        messages.append(planned_features(task, train, feature_cache, each))
    return "; then ".join(dict.fromkeys(messages))


def learning_rates(phase: Phase, steps: int) -> tuple[float, ...]:
    """Returns the rate of the first step and of the last step of each epoch."""
    import tensorflow as tf

    from kft.engine.phase_rate import PhaseRate

    rate = PhaseRate(phase.optimizer.learning_rate, phase.schedule, phase.epochs, steps)
    last = [epoch * steps - 1 for epoch in range(1, phase.epochs + 1)]

    # As one graph: to ask for 100,000 epochs one by one takes a minute.
    @tf.function(autograph=False)
    def rates(steps: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(rate, steps, fn_output_signature=tf.float32)

    return tuple(rates(tf.constant([0, *last], tf.int64)).numpy().tolist())


def rate_factors(phase: Phase, task: Task, stages: Sequence[Stage]) -> tuple[float, ...]:
    """The factor of the rate for each of `stages` and for the head."""
    factors = stage_factors(phase, task.backbone)
    return tuple(factors[name] for name in (*(stage.name for stage in stages), HEAD))
