"""Trains once more from the beginning, on training and validation examples together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kft.engine.selection import Selected
from kft.engine.train import PhaseResult, train
from kft.phase import Phase
from kft.progress import say
from kft.storage.run_files import REFIT
from kft.workflows.fit import Fits


def refit(fits: Fits, phases: Iterable[Phase]) -> None:
    """Trains `phases` from the beginning, on all examples but those of test.

    Nothing is left to select epochs by, so the task ends with the weights of the last.
    """
    say("Refit: the validation examples are trained on too, so scores on them are too good now")
    pooled = replace(fits.splits, train=fits.splits.pooled())
    context = fits.within(REFIT, pooled)
    train(context, tuple(phases))
    if context.state is not None:
        context.state.remove()


def refit_phases(
    phases: Sequence[Phase], results: Sequence[PhaseResult], selected: Selected
) -> Iterator[Phase]:
    """Yields the `phases` up to the `selected` epoch, each for the epochs that it took to there.

    One that unfreezes gradually takes as many as it needs at least.
    """
    last = selected.record["epoch"]
    for phase, result in zip(phases, results, strict=True):
        taken = sum(record["epoch"] <= last for record in result.epochs)
        if taken:
            epochs = max(taken, phase.unfreeze.fewest_epochs)
            changes = {
                "name": f"{REFIT}-{phase.name}",
                "epochs": epochs,
                "early_stopping": None,
                "swa_epochs": min(phase.swa_epochs, epochs),
                "mix_off_epochs": min(phase.mix_off_epochs, epochs - 1),
            }
            yield phase.model_copy(update=changes)
