"""Phases: what to train, for how long, how fast. Two-phase training is a list of two."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from kft.component import Settings
from kft.optimizer import Adam, Optimizer, Sgd
from kft.schedule import Constant, Cosine, Schedule
from kft.unfreeze import Unfreeze, UnfreezeAll, UnfreezeNone


class EarlyStopping(Settings):
    """Ends a phase that no longer gets better.

    Attributes:
        patience: Epochs without a better monitored validation score.
        min_delta: What counts as better, in units of the score.
    """

    patience: PositiveInt = 5
    min_delta: NonNegativeFloat = 0.0


class Phase(Settings):
    """One stretch of training.

    Attributes:
        name: Names the phase in logs and in the report; no two in a run are the same.
        epochs: At most; early stopping may end it sooner.
        clip_norm: Bound of the norm of all gradients together; null is none. Fine-tuning without
            one diverges at ordinary rates.
        unfreeze: The backbone stages to train besides the head.
        batch_size: Examples that are worked on at once; null takes that of the data.
        accumulate_steps: How many such batches make one step: their gradients are added up, so the
            step is that of a batch so many times larger, in the memory of one.
        carry_optimizer: Whether weights that the phase before trained by the same kind of
            optimizer keep its averages of their gradients. Its schedule begins anew all the same.
    """

    name: Annotated[str, Field(min_length=1, pattern=r"^[\w.-]+$")]
    epochs: PositiveInt
    optimizer: Optimizer
    schedule: Schedule = Constant()
    clip_norm: PositiveFloat | None = 1.0
    unfreeze: Unfreeze
    early_stopping: EarlyStopping | None = None
    batch_size: PositiveInt | None = None
    accumulate_steps: PositiveInt = 1
    carry_optimizer: bool = False


def two_phase_recipe() -> tuple[Phase, ...]:
    """Returns the default phases; docs/decisions/0001-default-recipe.md has the figures."""
    return (
        Phase(
            name="head",
            epochs=20,
            optimizer=Adam(learning_rate=1e-3),
            schedule=Cosine(),
            unfreeze=UnfreezeNone(),
        ),
        Phase(
            name="finetune",
            epochs=5,
            optimizer=Sgd(learning_rate=3e-3, momentum=0.9),
            schedule=Cosine(warmup_epochs=1),
            unfreeze=UnfreezeAll(),
        ),
    )
