"""Phases: what to train, for how long, how fast. Two-phase training is a list of two."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from kft.augmentation import Augmentation
from kft.recipe.optimizer import Optimizer
from kft.recipe.schedule import Constant, Schedule
from kft.recipe.unfreeze import Unfreeze
from kft.settings.bounds import BatchSize, Epochs
from kft.settings.component import Pattern, Settings


def kind_of_augment(value: Any) -> str | None:
    """Which of the two forms of `Phase.augment` a `value` has, for pydantic; None if neither."""
    if isinstance(value, bool):
        return "[switch]"
    return "[list]" if isinstance(value, list | tuple) else None


# Told apart by hand, since pydantic reports a fault in a list as one of a bool, too.
Augment = Annotated[
    Annotated[bool, Tag("[switch]")] | Annotated[tuple[Augmentation, ...], Tag("[list]")],
    Discriminator(
        kind_of_augment,
        custom_error_type="augment",
        custom_error_message="should be true, false or a list of augmentations",
    ),
]


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
            optimizer keep its averages of their gradients. Its schedule starts over all the same.
        layer_decay: Factor of the rate from each stage of the backbone to the next below; the
            topmost has it once, the head not at all. Such as 0.9; null is one rate for all.
        rate_factors: Factor of the rate of each stage whose whole name a regular expression
            matches, or of ``head``. Comes on top of `layer_decay`.
        l2_sp: How strongly every step pulls the unfrozen backbone to its pretrained weights, in
            place of weight decay (Li et al. 2018); such as 0.1 with ``sgd``. The head has its own
            `l2`.
        ema: Share of the moving average of the weights that a step leaves as it was, such as
            0.999; smaller at first, (1 + steps) / (10 + steps). The average is what is validated,
            selected and exported. Null takes the weights themselves.
        swa_epochs: Over so many epochs at the end, what is validated, selected and exported is the
            mean of the weights at their ends (Izmailov et al. 2018). Wants a rate that does not
            fall to nothing.
        augment: How training examples are varied in this phase: as ``data.input`` says (null), not
            at all (false), as ``data.input`` says or, where it says nothing, as is standard for
            such examples (true), or by augmentations of its own. Features of frozen layers are
            computed once for all epochs where nothing is varied.
        mixup: Alpha of the Beta distribution by which each training example is mixed with another
            (Zhang et al. 2018), such as 0.2; 0 does not.
        cutmix: Alpha of the Beta distribution of the region that is cut out of another example and
            pasted (Yun et al. 2019), such as 1; 0 does not. With `mixup`, each batch has one.
        mix_off_epochs: Epochs at the end without `mixup` and `cutmix`.

    Example:
        >>> from kft import Phase
        >>> from kft.recipe.optimizer import Sgd
        >>> from kft.recipe.unfreeze import UnfreezeTop
        >>> slow = Sgd(learning_rate=1e-3)
        >>> phase = Phase(name="top", epochs=5, optimizer=slow, unfreeze=UnfreezeTop(stages=2))
        >>> phase.clip_norm, phase.unfreeze.kind
        (1.0, 'top')
    """

    name: Annotated[str, Field(min_length=1, pattern=r"^[\w.-]+$")]
    epochs: Epochs
    optimizer: Optimizer
    schedule: Schedule = Constant()
    clip_norm: PositiveFloat | None = 1.0
    unfreeze: Unfreeze
    early_stopping: EarlyStopping | None = None
    batch_size: BatchSize | None = None
    accumulate_steps: BatchSize = 1
    carry_optimizer: bool = False
    layer_decay: Annotated[float | None, Field(gt=0, le=1)] = None
    rate_factors: dict[Pattern, PositiveFloat] = {}
    l2_sp: NonNegativeFloat = 0.0
    ema: Annotated[float | None, Field(gt=0, lt=1)] = None
    swa_epochs: NonNegativeInt = 0
    augment: Augment | None = None
    mixup: NonNegativeFloat = 0.0
    cutmix: NonNegativeFloat = 0.0
    mix_off_epochs: NonNegativeInt = 0

    @property
    def mixes(self) -> bool:
        """Says whether training examples are mixed with one another."""
        return bool(self.mixup or self.cutmix)

    @model_validator(mode="after")
    def _check_last_epochs(self) -> Self:
        if self.ema and self.swa_epochs:
            raise PydanticCustomError(
                "two_averages", "'ema' and 'swa_epochs' both average the weights. Keep one"
            )
        if self.swa_epochs > self.epochs:
            raise PydanticCustomError(
                "swa_epochs",
                f"'swa_epochs' is {self.swa_epochs}, more than the {self.epochs} epochs there are",
            )
        if self.mixes and self.mix_off_epochs >= self.epochs:
            raise PydanticCustomError(
                "mix_off_epochs",
                f"'mix_off_epochs' is {self.mix_off_epochs}, which leaves none of the "
                f"{self.epochs} epochs to mix in",
            )
        return self
