"""What a run that was stopped has done so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.engine.best import Best
from kft.engine.context import TrainingContext
from kft.engine.run_state import SavedState
from kft.engine.segments import segments_of
from kft.engine.train import PhaseResult, parameters, resumed
from kft.phase import Phase

if TYPE_CHECKING:
    from kft.task import Task

UNKNOWN = "not known: the run was stopped in this phase"

Record = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class SoFar:
    """The phases that a stopped run has begun.

    Attributes:
        phases: Those with an epoch that ended; of the last, what there is.
        saved: The number of the last epoch that the state on disk knows.
    """

    phases: tuple[PhaseResult, ...]
    saved: int


def done_so_far(
    context: TrainingContext, found: SavedState, phases: Sequence[Phase], records: Sequence[Record]
) -> SoFar:
    """What the run that left the state that was `found` has done of its `phases`.

    `records` are the lines of its ``metrics.jsonl``, some perhaps newer than the state. The best
    epochs of `context` are those of the state then, and the model has its weights.
    """
    results = resumed(context)
    ended, last = last_ended(found), results[-1].epochs[-1]["epoch"] if results else 0
    phase = phases[found.phase]
    own = [each for each in records if each["phase"] == phase.name and each["epoch"] > last]
    if own:
        results.append(unfinished(context.task, phase, found, own, context.best))
    return SoFar(tuple(results), ended)


def last_ended(found: SavedState) -> int:
    """The number of the last epoch that ended before the state was saved; 0 if none had."""
    done = [*found.state["phases"], {"epochs": found.state["recorder"]["records"]}]
    return max((record["epoch"] for each in done for record in each["epochs"]), default=0)


def unfinished(
    task: Task, phase: Phase, found: SavedState, records: Sequence[Record], best: Best
) -> PhaseResult:
    """The result of a phase that was stopped after so many `records`."""
    state = found.state
    segment = segments_of(task, phase, found.phase)[state["segment"]]
    task.backbone.train_only(segment.stages)
    since = [each["seconds"] for each in records if each not in state["recorder"]["records"]]
    return PhaseResult(
        name=phase.name,
        epochs=tuple(records),
        best=best.among(records),
        before=state["recorder"]["before"],
        rollbacks=tuple(state["rollback"]["rollbacks"]),
        trained_parameters=parameters(task.model),
        trained_stages=len(segment.stages),
        features_kept=False,
        features=UNKNOWN,
        seconds=state["seconds"] + sum(since),
    )
