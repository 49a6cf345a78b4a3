"""Reads the state of an optimizer, restores it, and transfers it to the next optimizer.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras.optimizers import Optimizer

from kft.callbacks.trainable import state_of
from kft.engine.phase_rate import rate_of
from kft.layers.precision import unscaled
from kft.layers.update_step import StepCounts, chain_of


def transfer_state(old: Optimizer, new: Optimizer) -> None:
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
    known = state_of(old)
    for name, slot in state_of(new).items():
        if name[1] is not None and name in known:
            slot.assign(known[name])
    steps = int(old.iterations.numpy())
    counts = zip(old._trainable_variables_indices, steps_ahead(old), strict=True)
    taken = {key: steps + ahead for key, ahead in counts}
    begun = int(new.iterations.numpy())
    set_steps_ahead(new, [taken.get(key, 0) - begun for key in new._trainable_variables_indices])


def resume_from(old: Optimizer, new: Optimizer) -> None:
    """Makes `new` go on with the phase that `old` began: its slots, its count and its rate."""
    rate_of(new).scale.assign(rate_of(old).scale)
    unscaled(new).iterations.assign(unscaled(old).iterations)
    transfer_state(old, new)


def steps_ahead(optimizer: Optimizer) -> list[int]:
    """The number of steps that each variable of `optimizer` is ahead of its ``iterations``.

    Zeros unless slots were transferred to it; negative for variables that began later.
    """
    counts = chain_of(optimizer).transforms.get(StepCounts)
    ahead = counts.ahead if isinstance(counts, StepCounts) else {}
    return [ahead.get(key, 0) for key in unscaled(optimizer)._trainable_variables_indices]


def set_steps_ahead(optimizer: Optimizer, ahead: Sequence[int]) -> None:
    """Lets each variable, in order, be so many steps `ahead` of the ``iterations``."""
    if any(ahead):
        keys = unscaled(optimizer)._trainable_variables_indices
        chain_of(optimizer).add(StepCounts(dict(zip(keys, ahead, strict=True))))


def state_outside_variables(optimizer: Optimizer) -> dict[str, Any]:
    """Returns the state of `optimizer` that its variables do not hold, ready for JSON."""
    rate = rate_of(optimizer)
    return {
        "rate_scale": float(rate.scale.numpy()),
        "steps_per_epoch": rate.steps_per_epoch,
        "steps_ahead": steps_ahead(optimizer),
    }


def restore_outside_variables(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Gives `optimizer`, whose variables are restored, a state of `state_outside_variables`.

    Where a step has come to take other examples than then, steps are counted as if all had been
    such steps: the schedule goes on from the epoch that it had reached.
    """
    rate, iterations = rate_of(optimizer), unscaled(optimizer).iterations
    rate.scale.assign(state["rate_scale"])
    before, factor = int(iterations.numpy()), rate.steps_per_epoch / state["steps_per_epoch"]
    begun = round(before * factor)
    iterations.assign(begun)
    set_steps_ahead(
        optimizer, [round((before + ahead) * factor) - begun for ahead in state["steps_ahead"]]
    )
