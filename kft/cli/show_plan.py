"""Tables of a plan for the command line, as rich renderables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from kft.cli.show import count_table, table

if TYPE_CHECKING:
    from kft.workflows.plan import Plan


def plan_summary(plan: Plan) -> RenderableType:
    """The plan of a run."""
    columns = ("epochs", "steps", "parameters")
    phases = table("phase", *columns, "optimizer", "rate", right=columns)
    for phase in plan.phases:
        phases.add_row(
            phase.name,
            str(phase.epochs),
            str(phase.steps_per_epoch * phase.epochs),
            f"{phase.trained_parameters:,}",
            phase.optimizer,
            rates(phase.learning_rates),
        )
    parts = [
        Text(
            f"{phase.name}: trains {trains(phase.stages, len(plan.stages))}"
            f"{in_turn(phase.stage_counts)}{shares(phase.rate_factors)}. "
            f"Features are {phase.features}"
        )
        for phase in plan.phases
    ]
    notes = [Text(f"note: {note}") for note in plan.notes]
    title = f"{plan.backbone}: {len(plan.stages)} stages, {plan.parameters:,} parameters in all"
    return Group(
        count_table(plan.counts, plan.sizes, plan.called),
        *notes,
        "",
        Text(title, style="bold"),
        phases,
        "",
        *parts,
        *(Text(f"{line[0].upper()}{line[1:]}") for line in plan.recipe),
    )


def trains(stages: Sequence[str], there: int) -> str:
    """The stages that train, in a few words."""
    if not stages:
        return "the head alone"
    if len(stages) == there:
        return "the head and all stages"
    noun = "stage" if len(stages) == 1 else "stages"
    return f"the head and {len(stages)} {noun} from {stages[0]}"


def in_turn(stage_counts: Sequence[int]) -> str:
    """The numbers of stages that train one after another, if the number grows."""
    *first, last = stage_counts
    return f", gradually: {', '.join(map(str, first))}, then {last}" if first else ""


def shares(factors: Sequence[float]) -> str:
    """The shares of the learning rate of the stages and the head, if they differ."""
    lowest, highest = min(factors), max(factors)
    if lowest == highest == 1:
        return ""
    return f", at {lowest:.2g} to {highest:.2g} of the rate"


def rates(learning_rates: Sequence[float]) -> str:
    """Returns the rate over time: at the first step, its highest, and at the end."""
    first, highest, last = learning_rates[0], max(learning_rates), learning_rates[-1]
    if first == highest == last:
        return f"{first:.2g}"
    through = "" if first == highest else f"{highest:.2g} → "
    return f"{first:.2g} → {through}{last:.2g}"


def stage_list(plan: Plan) -> RenderableType:
    """Returns the names of all stages, input side first."""
    return Group(*plan.stages)
