"""What a run says of a GPU that waited for its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft.devices import used_gpus

if TYPE_CHECKING:
    from kft.engine.train import PhaseResult

# The least share of the time that is worth a word.
WORTH_SAYING = 0.1


def input_notes(phases: Sequence[PhaseResult], plural: str) -> tuple[str, ...]:
    """A sentence on each phase in which a GPU waited for `plural`, such as images; else none.

    A CPU trains and reads with the same cores, so that there a wait says nothing.
    """
    if not used_gpus():
        return ()
    return tuple(
        f"{phase.name}: the GPU waited up to {100 * phase.input_wait:.0f} % of the time for "
        f"{plural}. More processor cores, cheaper augmentations, cache_views or "
        "distribute.augment_on help, a faster GPU does not."
        for phase in phases
        if phase.input_wait is not None and phase.input_wait >= WORTH_SAYING
    )
