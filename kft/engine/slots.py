"""The state of an optimizer, handed on to the one that goes on in its place.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
from keras.optimizers import Optimizer

from kft.engine.phase_rate import rate_of
from kft.precision import unscaled
from kft.update_step import StepCounts, add_transform, transforms_of


def hand_on(old: Optimizer, new: Optimizer) -> None:
    """Copies the slots of the variables that both train, where both are of the same kind.

    Slots are the averages that an optimizer keeps for each variable, such as momentum. Both are
    built. Adam corrects its averages for having begun at zero by a count of steps that it keeps
    for all variables alike; once some have begun earlier than others, one count is wrong for
    either: the late ones would take steps up to six times too large, or the early ones a sixth
    of theirs. So each variable gets a count of its own, as in PyTorch.
    """
    old, new = unscaled(old), unscaled(new)
    if type(old) is not type(new):
        return
    both = new._trainable_variables_indices.keys() & old._trainable_variables_indices.keys()
    for name, theirs in slots(new).items():
        ours = slots(old).get(name, [])
        for key in both if ours else ():
            value = ours[old._trainable_variables_indices[key]]
            theirs[new._trainable_variables_indices[key]].assign(value)
    taken = {key: steps_taken(old, key) for key in both}
    begun = int(new.iterations.numpy())
    ahead = {key: taken.get(key, 0) - begun for key in new._trainable_variables_indices}
    count_apart(new, ahead)


def count_apart(optimizer: Optimizer, ahead: Mapping[str, int]) -> None:
    """Lets each variable, by its key, be so many steps `ahead` of `optimizer`."""
    if any(ahead.values()):
        add_transform(optimizer, StepCounts(ahead))


def go_on(old: Optimizer, new: Optimizer) -> None:
    """Makes `new` go on with the phase that `old` began: its slots, its count and its rate."""
    rate_of(new).scale.assign(rate_of(old).scale)
    unscaled(new).iterations.assign(unscaled(old).iterations)
    hand_on(old, new)


def slots(optimizer: Optimizer) -> dict[str, list[keras.Variable]]:
    """Returns every list of slots by its name; it has one for each trained variable, in order."""
    there = {id(variable) for variable in optimizer.variables}
    trained = optimizer._trainable_variables
    return {
        name: held
        for name, held in vars(optimizer).items()
        if isinstance(held, list)
        and len(held) == len(trained)
        and all(
            id(slot) in there and slot.shape == variable.shape
            for slot, variable in zip(held, trained, strict=True)
        )
    }


def steps_ahead(optimizer: Optimizer) -> list[int]:
    """Returns how many steps more than `optimizer` each of its variables has taken, in order."""
    return list(counts_of(optimizer).values())


def set_steps_ahead(optimizer: Optimizer, ahead: Sequence[int]) -> None:
    """Makes it so that `steps_ahead` gives `ahead`."""
    inner = unscaled(optimizer)
    if ahead:
        count_apart(inner, dict(zip(inner._trainable_variables_indices, ahead, strict=True)))


def steps_taken(optimizer: Optimizer, key: str) -> int:
    """Returns how many steps the variable of `key` has taken."""
    return int(optimizer.iterations.numpy()) + counts_of(optimizer).get(key, 0)


def counts_of(optimizer: Optimizer) -> Mapping[str, int]:
    """Returns how many steps more than `optimizer` each variable has taken, by its key."""
    counts = (each for each in transforms_of(optimizer) if isinstance(each, StepCounts))
    return next((each.ahead for each in counts), {})
