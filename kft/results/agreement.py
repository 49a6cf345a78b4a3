"""Compares data and answers of a run that is opened again with those that it wrote at its end."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft.data import Splits
from kft.errors import DataError, ExportError
from kft.messages import one_line
from kft.progress import say
from kft.results.report import environment, prediction_rows, split_rows
from kft.rounding import LOSS, arithmetic, on_one_cpu, opened_again
from kft.scoring.classification import TOP
from kft.scoring.difference import differences_of
from kft.scoring.evaluate import Answers
from kft.scoring.metrics import MOST_COLUMNS
from kft.storage.files import csv_reader
from kft.storage.run_files import ENVIRONMENT, PREDICTIONS, SCORES, SPLIT
from kft.task import Task

if TYPE_CHECKING:
    import numpy as np

SHOWN = 3
TRAIN = "train"


def refuse_other_data(directory: Path, splits: Splits) -> None:
    """Refuses data whose examples to score are not those that the run lists.

    Raises:
        DataError: Names some that are gone, new, or have another label, split or group.
    """
    path = directory / SPLIT
    if not path.is_file():
        return
    before = {row for row in map(tuple, read_csv(path, 4)) if row[2] != TRAIN}
    now = {row for row in split_rows(splits) if row[2] != TRAIN}
    if before != now:
        gone, new = names_of(before - now), names_of(now - before)
        parts = [f"it no longer has, or not so, {gone}"] if gone else []
        parts += [f"it has only now {new}"] if new else []
        raise DataError(
            where=str(path),
            problem=f"the data has other examples than the run scored: {'; '.join(parts)}",
            fix=f"Restore the examples, or score others:  kft evaluate {directory} DATA",
        )


def names_of(rows: Iterable[Sequence[str]]) -> str:
    """The names in rows of `SPLIT`, in a few words."""
    return examples(sorted(row[0] for row in rows))


def refuse_other_answers(directory: Path, answers: Mapping[str, Answers], task: Task) -> None:
    """Refuses answers by split that are not those that the run gave when it ended.

    Where devices and versions are others than then, what these may explain is a note.

    Raises:
        ExportError: Says by how much they differ, and what else does.
    """
    path = directory / PREDICTIONS
    if not path.is_file():
        say(f"note: {directory} has no {PREDICTIONS}, so its answers were compared with none")
        return
    scored = answers.get("test", answers.get("validation"))
    if scored is not None:
        refuse_other_predictions(path, scored, task)
    if (directory / SCORES).is_file():
        refuse_other_losses(directory / SCORES, answers, task)


def refuse_other_losses(path: Path, answers: Mapping[str, Answers], task: Task) -> None:
    """Raises ExportError if the loss of a split is not that in the scores at `path`."""
    import numpy as np

    scores = read_json(path)
    near = LOSS * opened_again(task.model, elsewhere=bool(changes(path.parent)))
    for name, found in answers.items():
        was, now = scores.get(name, {}).get("loss"), found.scores["loss"]
        if not isinstance(was, float):
            raise damaged(path, KeyError(f"it has no loss of {name}"))
        if not np.isclose(now, was, rtol=near, atol=near, equal_nan=True):
            raise other_answers(path, f"the loss of {name} was {was:.6g} and is {now:.6g}")


def refuse_other_predictions(path: Path, scored: Answers, task: Task) -> None:
    """Raises ExportError if `scored` are not the predictions in the table at `path`."""
    names = scored.split.names
    now = [list(row) for row in prediction_rows(scored.split, scored.outputs, task.target)]
    rows = read_csv(path, len(now[0]))
    if rows == now:
        return
    if [row[0] for row in rows] != list(names):
        other = {row[0] for row in rows} ^ {*names}
        counts = f"there were {len(rows)} examples to answer and are {len(names)}"
        raise other_answers(path, f"{counts}; not in both: {examples(sorted(other))}")
    count = len(task.target.names)
    if count > MOST_COLUMNS and task.target.kind != "value":
        each = differences_of_likeliest(rows, now, path)
    else:
        before, after = (outputs_in(each, count, path) for each in (rows, now))
        each = differences_of(after, before, task.target)
    largest, tolerance = float(each.max(initial=0.0)), on_one_cpu(task.model)
    if largest <= tolerance:
        return
    differing = [name for name, row in zip(names, each, strict=True) if not row.max() <= tolerance]
    problem = f"the answers to {examples(differing)} differ by up to {largest:.2g}"
    if not largest <= opened_again(task.model, elsewhere=bool(changes(path.parent))):
        raise other_answers(path, problem)
    say(f"note: {problem} from those in {path}: {', '.join(reasons(path.parent))}")


def other_answers(path: Path, difference: str) -> ExportError:
    """The error that answers are not those in the file at `path`."""
    why = reasons(path.parent)
    suspects = f", and of the run, {', '.join(why)}" if why else ""
    return ExportError(
        where=str(path),
        problem=f"the run, opened again, does not answer as it did: {difference}. Its weights, "
        f"config and files are as they were{suspects}",
        fix="Check whether the data, your own code or versions have changed since, and restore "
        "them",
    )


def reasons(directory: Path) -> list[str]:
    """Why numbers may round otherwise than they did in a run, in a few words each."""
    rounds = arithmetic()
    here = [] if rounds == "CPU" else [f"a {rounds} does not round alike each time"]
    return changes(directory) + here


def changes(directory: Path) -> list[str]:
    """The versions and devices that are others than those of a run, in a few words each."""
    path, now = directory / ENVIRONMENT, environment()
    before = read_json(path) if path.is_file() else {}
    differing = [key for key, value in before.items() if now.get(key) != value]
    return [f"{key} was {before[key]} and is {now.get(key)}" for key in differing]


def outputs_in(rows: Sequence[Sequence[str]], count: int, path: Path) -> np.ndarray:
    """The outputs, the last `count`, in rows of a table of predictions, ``(size, count)``."""
    import numpy as np

    try:
        return np.array([row[-count:] for row in rows], "float32")
    except ValueError as error:
        raise damaged(path, error) from error


def differences_of_likeliest(
    before: Sequence[Sequence[str]], after: Sequence[Sequence[str]], path: Path
) -> np.ndarray:
    """How far the likeliest classes in two tables of predictions differ, ``(size, 1)``.

    A class that only one of them lists has, in the other, at most the least listed probability.
    """
    import numpy as np

    def listed(row: Sequence[str]) -> dict[str, float]:
        names, shares = row[-2 * TOP :: 2], row[1 - 2 * TOP :: 2]
        return {name: float(share) for name, share in zip(names, shares, strict=True)}

    try:
        pairs = [(listed(old), listed(new)) for old, new in zip(before, after, strict=True)]
    except ValueError as error:
        raise damaged(path, error) from error
    largest = [
        max(
            abs(old.get(name, min(old.values())) - new.get(name, min(new.values())))
            for name in {*old, *new}
        )
        for old, new in pairs
    ]
    return np.array(largest, "float32")[:, None]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of a run."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return dict(found)
    except (ValueError, TypeError) as error:
        raise damaged(path, error) from error


def read_csv(path: Path, width: int) -> list[list[str]]:
    """The rows, of `width`, in a table of a run, without its head."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv_reader(file))[1:]
        if any(len(row) != width for row in rows):
            raise ValueError(f"not every row has {width} columns")
    except (ValueError, csv.Error) as error:
        raise damaged(path, error) from error
    return rows


def damaged(path: Path, error: Exception) -> ExportError:
    """The error that a file of a run is not as the run wrote it."""
    fix = "Restore the file; or remove it, and nothing is compared with it"
    return ExportError(str(path), f"is not as the run wrote it: {one_line(error)}", fix)


def examples(names: Iterable[str]) -> str:
    """How many there are of `names`, and the first few of them."""
    every = list(names)
    if len(every) <= SHOWN:
        return ", ".join(map(repr, every))
    return f"{len(every)} examples, such as {', '.join(map(repr, every[:SHOWN]))}"
