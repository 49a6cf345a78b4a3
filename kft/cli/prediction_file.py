"""Predictions as a CSV file, written as they come."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kft.cli.show_predictions import likely_labels, plain, ranking
from kft.errors import ConfigError
from kft.messages import counted

if TYPE_CHECKING:
    from kft.workflows.predict import Prediction


def refuse_taken(path: Path) -> None:
    """Raises ConfigError if there is something at `path` already."""
    if path.exists():
        fix = "Give another file, or move this one away"
        raise ConfigError("--csv", f"{path} is there already", fix)


class PredictionFile:
    """A row for each example: its file, folder and prediction, then the `top` best with scores.

    What has been written stays if the command is ended early.
    """

    def __init__(self, path: Path, top: int) -> None:
        self._path = path
        self._top = top
        self._count = 0
        self._file = path.open("x", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)

    def add(self, prediction: Prediction) -> None:
        """Writes a row, and the names of the columns above the first."""
        row = {
            "file": prediction.name,
            "folder": prediction.folder or "",
            **cells(prediction, self._top),
        }
        if not self._count:
            self._writer.writerow(row)
        self._writer.writerow(row.values())
        self._count += 1

    def end(self) -> None:
        """Closes the file."""
        self._file.close()
        click.echo(f"Wrote {counted(self._count, 'prediction')} to {self._path}", err=True)


def cells(prediction: Prediction, top: int) -> dict[str, Any]:
    """The cells of a prediction, by column."""
    if "classes" in prediction.answer:
        (best, score), *others = ranking(prediction, "classes")[:top]
        row = {"prediction": best, "score": f"{score:.6g}"}
        first = 2
    elif "labels" in prediction.answer:
        others = ranking(prediction, "labels")
        row = {"prediction": "|".join(likely_labels(others))}
        others = others[:top]
        first = 1
    else:
        return plain(prediction)
    for place, (name, score) in enumerate(others, start=first):
        row |= {f"prediction {place}": name, f"score {place}": f"{score:.6g}"}
    return row
