"""The files that a run writes for people and scripts."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft import __version__
from kft.data import Split, Splits, Target
from kft.devices import driver_version, gpus
from kft.progress import for_people
from kft.rounding import arithmetic
from kft.scoring.metrics import scoring_of
from kft.storage.atomic import remove, replacing, write_json, write_text
from kft.storage.run_files import ENVIRONMENT, FIGURES, PREDICTIONS, SCORES, SKIPPED, SPLIT, TARGET

if TYPE_CHECKING:
    import numpy as np

    from kft.engine.selection import Selected
    from kft.engine.train import PhaseResult
    from kft.scoring.evaluate import Answers


def write_beginning(directory: Path, splits: Splits, left_out: Mapping[str, str]) -> None:
    """Writes the files of the start: versions, classes, splits, skipped examples.

    `splits` are as the source gave them, so that their list names all of the data and can divide
    it again; `left_out` is what was left out of them, with the reason.
    """
    write_json(directory / ENVIRONMENT, environment())
    write_text(directory / TARGET, splits.target.to_json())
    write_csv(directory / SPLIT, ("path", "label", "split", "group"), split_rows(splits))
    if left_out:
        write_csv(directory / SKIPPED, ("path", "reason"), left_out.items())
    else:
        remove(directory / SKIPPED)  # of a run that was killed before it had trained anything


def split_rows(splits: Splits) -> Iterator[tuple[str, str, str, str]]:
    """Yields the name, label, split and group of each example."""
    scoring = scoring_of(splits.target)
    for part, split in splits.by_name().items():
        for index, name in enumerate(split.names):
            group = split.groups[index] if split.groups else ""
            yield name, scoring.text(split.labels[index]), part, group or ""


def write_csv(path: Path, head: Sequence[str], rows: Any) -> None:
    """Writes a table."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)


def environment() -> dict[str, Any]:
    """Returns the versions and devices a run depends on."""
    import platform

    import keras
    import numpy as np
    import tensorflow as tf

    return {
        "kft": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": [device.name for device in tf.config.list_logical_devices()],
        **gpu_environment(),
    }


def gpu_environment() -> dict[str, Any]:
    """The GPUs, and what their results depend on besides; empty without one."""
    import tensorflow as tf

    found = gpus()
    if not found:
        return {}
    built = tf.sysconfig.get_build_info()
    return {
        "gpus": [str(gpu) for gpu in found],
        "driver": driver_version(),
        "cuda": built.get("cuda_version"),
        "cudnn": built.get("cudnn_version"),
        "arithmetic": arithmetic(),
    }


def scores(
    answers: Mapping[str, Answers],
    phases: Sequence[PhaseResult],
    selected: Selected,
    gain: Mapping[str, Any] | None,
    folds: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Returns the content of ``scores.json``; `gain` is that of fine-tuning."""
    return {
        **{name: dict(answer.scores) for name, answer in answers.items()},
        "phases": [
            {
                "name": phase.name,
                "seconds": round(phase.seconds, 3),
                "input_wait": phase.input_wait and round(phase.input_wait, 4),
                "trained_parameters": phase.trained_parameters,
                "trained_stages": phase.trained_stages,
                "features_kept": phase.features_kept,
                "features": phase.features,
                "rollbacks": [dict(rollback) for rollback in phase.rollbacks],
                "before": validation_scores(phase.before),
                "best": validation_scores(phase.best),
                "last": validation_scores(phase.epochs[-1]),
            }
            for phase in phases
        ],
        "selected": selection(selected),
        "gain": gain,
        "folds": folds,
    }


def selection(selected: Selected) -> dict[str, Any]:
    """The epoch whose weights were selected, and the candidates that were compared."""
    start = selected.start
    return {
        "select": selected.select,
        "monitor": selected.monitor,
        **place(selected.record),
        "alpha": selected.alpha,
        "start": None if start is None else place(start.record),
        "sweep": list(selected.sweep),
    }


def place(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the phase and the epoch of a record."""
    return {"phase": record["phase"], "epoch": record["epoch"]}


def validation_scores(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the epoch and the validation scores of a record, by their plain names."""
    named = {
        key.removeprefix("val_"): value for key, value in record.items() if key.startswith("val_")
    }
    return {"epoch": record["epoch"], **named}


def prediction_rows(split: Split, outputs: np.ndarray, target: Target) -> Iterator[tuple[str, ...]]:
    """Yields the name of each example, its label, and what is predicted; the outputs last."""
    scoring = scoring_of(target)
    for name, label, output in zip(split.names, split.labels, outputs, strict=True):
        yield name, *scoring.row(label, output)


def write_predictions(path: Path, split: Split, outputs: np.ndarray, target: Target) -> None:
    """Writes a table of the `outputs`, ``(size, k)``, for the examples of `split`."""
    rows = prediction_rows(split, outputs, target)
    write_csv(path, ("path", *scoring_of(target).columns), rows)


def write_end(directory: Path, content: Mapping[str, Any], test: Answers, target: Target) -> None:
    """Writes scores and predictions."""
    write_json(directory / SCORES, content)
    write_predictions(directory / PREDICTIONS, test.split, test.outputs, target)


def draw_end(directory: Path, content: Mapping[str, Any], test: Answers, target: Target) -> None:
    """Draws the figures, as far as they can be drawn."""
    folder = directory / FIGURES
    with for_people(f"{folder}/learning_curves.png"):
        from kft.results.figures import draw_learning_curves

        folder.mkdir(exist_ok=True)
        with replacing(folder / "learning_curves.png") as curves:
            draw_learning_curves(directory, content["selected"], curves)
    with for_people(f"the figure of the answers in {folder}"):
        from kft.results.figures import draw_answers

        draw_answers(test, target, folder)
