"""The state of an optimizer, transferred to the one that goes on in its place.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """Returns how many steps more than `optimizer` each of its variables has taken, in order."""
    counts = chain_of(optimizer).transforms.get(StepCounts)
    ahead = counts.ahead if isinstance(counts, StepCounts) else {}
    return [ahead.get(key, 0) for key in unscaled(optimizer)._trainable_variables_indices]


def set_steps_ahead(optimizer: Optimizer, ahead: Sequence[int]) -> None:
    """Lets each variable be so many steps `ahead` of `optimizer`."""
    if any(ahead):
        keys = unscaled(optimizer)._trainable_variables_indices
        chain_of(optimizer).add(StepCounts(dict(zip(keys, ahead, strict=True))))
