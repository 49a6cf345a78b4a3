"""The default recipe: the phases of a config that names none, from what is known before training.

docs/decisions/0001-default-recipe.md has the measurements behind the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from kft.phase import Phase
from kft.recipe.optimizer import AdamW
from kft.recipe.schedule import Cosine
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeNone

Effort = Literal["quick", "normal", "best"]

# Fine-tuning takes so many epochs for one example, and fewer by the square root of their number:
# steps grow with the data, but less than it does (as in BiT's HyperRule, Kolesnikov et al. 2020).
LENGTHS: dict[Effort, float] = {"quick": 80, "normal": 250, "best": 700}
FEWEST_EPOCHS, MOST_EPOCHS = 3, 60
# On cached features a step costs next to nothing, so the head is trained to the end.
HEAD_STEPS = 400
FEWEST_HEAD_EPOCHS, MOST_HEAD_EPOCHS = 10, 100
HEAD_RATE, HEAD_DECAY = 3e-3, 0.1
# The rate that batch normalisation bears breaks networks without it, transformers among them.
RATE, RATE_WITHOUT_BATCH_NORM, DECAY = 3e-4, 5e-5, 0.05
# Share of fine-tuning in which the rate grows, and the fewest steps of that: twice the rate, or one
# epoch, do harm. The first steps of Adam move all weights alike (Liu et al. 2020, RAdam).
WARM_UP, WARM_UP_STEPS = 0.25, 30


@dataclass(frozen=True)
class Facts:
    """What the default recipe depends on.

    Attributes:
        examples: For training.
        batch_size: Examples in one step.
        batch_norm: Whether the backbone has batch normalisation.
        trains: Whether the backbone has stages that can be trained.
        augments: Whether the input has an augmentation.
        views: Whether features of augmented examples are cached, which the head phase then takes.
    """

    examples: int
    batch_size: int
    batch_norm: bool
    trains: bool
    augments: bool
    views: bool = False


def default_recipe(effort: Effort, facts: Facts) -> tuple[Phase, ...]:
    """Returns the head phase, on exact features, and fine-tuning of all stages, if there are any.

    Example:
        >>> from kft.config.recipe import Facts, default_recipe
        >>> few = Facts(examples=300, batch_size=32, batch_norm=True, trains=True, augments=True)
        >>> [(phase.name, phase.epochs) for phase in default_recipe("normal", few)]
        [('head', 43), ('finetune', 14)]
    """
    head = Phase(
        name="head",
        epochs=head_epochs(facts),
        optimizer=AdamW(learning_rate=HEAD_RATE, weight_decay=HEAD_DECAY),
        schedule=Cosine(),
        unfreeze=UnfreezeNone(),
        augment=False if facts.augments and not facts.views else None,
    )
    if not facts.trains:
        return (head,)
    finetune = Phase(
        name="finetune",
        epochs=1,
        optimizer=AdamW(learning_rate=rate_of(facts), weight_decay=DECAY),
        unfreeze=UnfreezeAll(),
        augment=True if facts.augments else None,
    )
    steps = math.ceil(facts.examples / facts.batch_size)
    return head, lasting(finetune, finetune_epochs(effort, facts), steps)


def lasting(finetune: Phase, epochs: int, steps: int) -> Phase:
    """Returns the fine-tuning phase for `epochs` of so many `steps`, a part of them warm-up."""
    warm_up = min(max(WARM_UP * epochs, WARM_UP_STEPS / steps), epochs)
    schedule = Cosine(warmup_epochs=warm_up)
    return finetune.model_copy(update={"epochs": epochs, "schedule": schedule})


def head_epochs(facts: Facts) -> int:
    """As many epochs as `HEAD_STEPS` make, within bounds."""
    epochs = math.ceil(HEAD_STEPS * facts.batch_size / facts.examples)
    return min(max(epochs, FEWEST_HEAD_EPOCHS), MOST_HEAD_EPOCHS)


def finetune_epochs(effort: Effort, facts: Facts) -> int:
    """Epochs by the square root of the number of examples, within bounds."""
    epochs = round(LENGTHS[effort] / math.sqrt(facts.examples))
    return min(max(epochs, FEWEST_EPOCHS), MOST_EPOCHS)


def rate_of(facts: Facts) -> float:
    """The highest rate of fine-tuning."""
    return RATE if facts.batch_norm else RATE_WITHOUT_BATCH_NORM


def reasons(effort: Effort, facts: Facts) -> str:
    """Why the default recipe is as it is, in a sentence for people."""
    if not facts.trains:
        return "phases are left out, and the backbone cannot be trained: the head alone trains"
    rate = "has" if facts.batch_norm else "has no"
    return (
        f"phases are left out: effort {effort!r} and {facts.examples} training examples make "
        f"{head_epochs(facts)} and {finetune_epochs(effort, facts)} epochs; the backbone {rate} "
        f"batch normalisation, so fine-tuning is at {rate_of(facts):g}"
    )
