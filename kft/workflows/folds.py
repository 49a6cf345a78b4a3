"""Cross-validation: every example is answered by a model that was not trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from kft.config.run_config import RunConfig
from kft.data import Split, Target
from kft.distribute.cluster import is_chief, min_over_workers
from kft.engine.run_state import read_arrays, write_arrays
from kft.engine.snapshot import Snapshot
from kft.engine.train import train
from kft.progress import say
from kft.results.report import write_predictions
from kft.scoring.evaluate import evaluate
from kft.scoring.metrics import scoring_of
from kft.sources.splitting.folds import folds
from kft.storage.run_files import FOLDS, OUT_OF_FOLD
from kft.workflows.fit import Fits
from kft.workflows.time_limit import is_in_time

if TYPE_CHECKING:
    import numpy as np

ANSWERS = "answers.npz"


def cross_validate(fits: Fits) -> dict[str, Any]:
    """The scores of each fold, and their mean and spread; writes the answers to all examples.

    All examples but those of test are divided. For each fold the phases begin anew, on all other
    folds, and what the last epoch leaves answers it: nothing is selected by the examples that are
    scored. The weights in the task stay as they are. Empty, if the deadline of `fits` comes first.
    """
    import numpy as np

    task, directory = fits.task, fits.state.directory
    selected = Snapshot.of(task.model.variables)
    pooled, scoring = fits.splits.pooled(), scoring_of(task.target)
    fold_of = folds_of(pooled, task.target, fits.config)
    outputs = np.zeros((pooled.size, len(task.target.names)), "float32")
    each = []
    for fold in range(fold_of.max() + 1):
        held = np.flatnonzero(fold_of == fold)
        if not has_answers(fits, fold):
            say(f"Fold {fold + 1} of {fold_of.max() + 1}")
            answer_fold(fits, pooled, fold_of == fold, folder_of(fold))
            if not is_in_time("the folds", fits.deadline):
                selected.restore()
                return {}
        if is_chief():  # Others need no scores, and lack the files of a run that was killed.
            outputs[held], loss = read_arrays(directory / folder_of(fold) / ANSWERS)
            each.append({"loss": float(loss), **scoring.scores(pooled.labels[held], outputs[held])})
    selected.restore()
    if not is_chief():
        return {}
    write_predictions(directory / OUT_OF_FOLD, pooled, outputs, task.target)
    return spread_of(each)


def answer_fold(fits: Fits, pooled: Split, is_held: np.ndarray, folder: str) -> None:
    """Trains on the examples that are not held, and writes the answers to those that are."""
    rest, held = (pooled.take(part.nonzero()[0].tolist()) for part in (~is_held, is_held))
    context = fits.within(folder, replace(fits.splits, train=rest, validation=held, test=None))
    train(context, fits.config.phases)
    if fits.deadline is not None and fits.deadline.reached:
        return
    answer = evaluate(fits.task, held, held, folder)
    write_arrays(context.directory / ANSWERS, [answer.outputs, answer.scores["loss"]])
    if context.state is not None:
        context.state.remove()


def folder_of(fold: int) -> str:
    """The folder of a fold within that of the run."""
    return f"{FOLDS}/{fold}"


def folds_of(pooled: Split, target: Target, config: RunConfig) -> np.ndarray:
    """The fold of each example, from 0 on, int ``(size,)``; examples of a group share one."""
    shown: list[tuple[str, ...]] = [()] * pooled.size
    if target.kind != "value":
        dense = target.dense(pooled.labels)
        shown = [tuple(target.names[place] for place in row.nonzero()[0]) for row in dense]
    return folds(pooled.names, shown, config.folds or 0, config.seed, pooled.groups)


def has_answers(fits: Fits, fold: int) -> bool:
    """Whether the run that goes on has the answers to a fold, as all workers see it."""
    there = Path(fits.config.output_dir, folder_of(fold), ANSWERS).is_file()
    return fits.resume and bool(min_over_workers(int(there)))


def spread_of(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of each score over the folds, its standard deviation, and the score of each."""
    numbers = {
        name: [scores[name] for scores in each]
        for name, score in each[0].items()
        if isinstance(score, float)
    }
    return {
        name: {"mean": mean(scores), "deviation": stdev(scores), "each": scores}
        for name, scores in numbers.items()
    }
