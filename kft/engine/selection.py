"""Selects the weights that a run ends with: best, last, or between two epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from kft.backbone import Stage
from kft.engine.best import Best, EpochWeights
from kft.engine.context import TrainingContext
from kft.engine.parts import part_of
from kft.engine.segments import segments_of
from kft.engine.train import PhaseResult
from kft.errors import ConfigError
from kft.phase import Phase
from kft.progress import say
from kft.scoring.direction import lower_is_better
from kft.task import Task

if TYPE_CHECKING:
    import keras

Select = Literal["auto", "best", "last", "interpolate"]
ALPHAS = tuple(tenth / 10 for tenth in range(11))


@dataclass(frozen=True, eq=False)
class Selected:
    """The weights that a run ends with.

    Attributes:
        select: As in the config.
        monitor: The name of the metric that was compared.
        record: Of the epoch whose weights they are, or towards which they were interpolated.
        start: The best epoch before fine-tuning; None if nothing was fine-tuned.
        alpha: 0 for the weights of `start`, 1 for those of `record`; None if not interpolated.
        sweep: The validation scores at each alpha, by metric name, with the key ``alpha``; empty
            if not interpolated.
    """

    select: str
    monitor: str
    record: Mapping[str, Any]
    start: EpochWeights | None
    alpha: float | None = None
    sweep: tuple[Mapping[str, float], ...] = ()

    def on(self, model: keras.Model) -> Selected:
        """Returns the same selection for another `model` of the same architecture."""
        if self.start is None:
            return self
        weights = self.start.weights.on(model.variables)
        return replace(self, start=replace(self.start, weights=weights))

    @property
    def epoch_record(self) -> Mapping[str, Any] | None:
        """The record of the epoch whose weights they are; None of those between two epochs."""
        return None if self.alpha is not None else self.record

    @property
    def is_fine_tuned(self) -> bool:
        """Says whether the weights differ from the best before fine-tuning."""
        return self.start is not None and self.record is not self.start.record


def select_weights(
    select: Select,
    context: TrainingContext,
    phases: Sequence[Phase],
    results: Sequence[PhaseResult],
) -> Selected:
    """Selects weights as the config says with `select`, and sets the model's weights to them.

    The model has the weights of the last epoch.
    """
    best, last = context.best, results[-1].epochs[-1]
    start, end = best.before, best.since
    if select != "interpolate" or start is None or end is None:
        return keep_epoch(select, best, last, context.splits.validation.size)
    say(f"Trying weights between epoch {start.record['epoch']} and {end.record['epoch']}")
    validate = validator(context, changed_stages(context.task, phases))
    return interpolate(start, end, best, validate)


def keep_epoch(select: Select, best: Best, last: Mapping[str, Any], size: int) -> Selected:
    """Selects the best epoch overall or the last, as `select` says; sets the model's weights.

    `last` is the record of the last epoch, whose weights the model has; `size` is the number of
    validation examples.
    """
    start = best.before if best.since is not None else None
    if select == "last" or best.record is None:
        return Selected(select, best.monitor, last, start)
    if select == "auto" and within_error(best, best.record, last, size):
        return Selected(select, best.monitor, last, start)
    best.restore_best_weights()
    return Selected(select, best.monitor, best.record, start)


def within_error(best: Best, record: Mapping[str, Any], last: Mapping[str, Any], size: int) -> bool:
    """Says whether `last` is no more than one standard error below the best epoch, `record`.

    The one-standard-error rule (Breiman et al. 1984), with the error of the difference of two
    shares of `size` examples, such as accuracies, as if two more were right and two wrong (Agresti
    and Coull 1998), since few may all be right. That of a loss is not known, so there the best
    epoch counts.
    """
    if lower_is_better(best.monitor):
        return False
    (highest, _), (score, _) = best.score(record), best.score(last)
    share = min(max((highest * size + 2) / (size + 4), 0.0), 1.0)
    return highest - score <= math.sqrt(2 * share * (1 - share) / (size + 4))


def interpolate(
    start: EpochWeights, end: EpochWeights, best: Best, validate: Callable[[], Mapping[str, float]]
) -> Selected:
    """Sets the model to the best weights on the line from `start` to the fine-tuned `end`.

    Wortsman et al. 2022 (WiSE-FT, arXiv 2109.01903): weights on the straight line between a
    model and its fine-tuned self are often better than both, above all on other data. `validate`
    gives the scores of the weights in the model, by metric name. Both ends are in the sweep, so
    the result is never worse on validation than either. Of equals the one nearest to `end` wins.
    """
    sweep = []
    for alpha in ALPHAS:
        start.weights.towards(end.weights, alpha).restore()
        sweep.append({"alpha": alpha, **validate()})
    winner = max(sweep, key=lambda scores: (best.score(as_record(scores)), scores["alpha"]))
    alpha = winner["alpha"]
    start.weights.towards(end.weights, alpha).restore()
    record = end.record if alpha else start.record
    return Selected("interpolate", best.monitor, record, start, alpha, tuple(sweep))


def as_record(scores: Mapping[str, float]) -> dict[str, float]:
    """Returns validation scores by the keys of ``metrics.jsonl``, such as ``val_loss``."""
    return {f"val_{name}": score for name, score in scores.items()}


def check_select(select: Select, task: Task, phases: Sequence[Phase]) -> None:
    """Raises ConfigError if a phase does not fit, or `select` needs fine-tuning and none does."""
    trained = trained_stages(task, phases)
    if select == "interpolate" and not any(trained[1:]):
        raise ConfigError(
            where="select",
            problem="is 'interpolate', but no phase after the first trains any of the backbone",
            fix="Add one that does, or take 'best'",
        )


def changed_stages(task: Task, phases: Sequence[Phase]) -> list[Stage]:
    """Returns the stages of the backbone that some phase trains, input side first."""
    changed = set().union(*trained_stages(task, phases))
    return [stage for stage in task.backbone.stages if stage.name in changed]


def trained_stages(task: Task, phases: Sequence[Phase]) -> list[set[str]]:
    """Returns the names of the stages that each phase trains in any of its epochs."""
    return [
        {stage.name for segment in segments_of(task, phase, number) for stage in segment.stages}
        for number, phase in enumerate(phases)
    ]


def validator(
    context: TrainingContext, stages: Sequence[Stage]
) -> Callable[[], Mapping[str, float]]:
    """Returns a function that validates the weights in the model, as after an epoch of training.

    It gives the scores by metric name. Layers before `stages` run only once, so their weights must
    not change between calls.
    """
    from kft.distribute.replicated import replicated
    from kft.engine.loop import Evaluation

    task = context.task
    task.backbone.train_only(stages)
    part = part_of(task, context.splits.validation, "validation", context.feature_cache)
    model = replicated(part.model)
    model.compile(loss=task.head.loss(task.target), metrics=task.head.metrics(), jit_compile=False)
    return Evaluation(model, part.split, task.target, context.batch_size).scores
