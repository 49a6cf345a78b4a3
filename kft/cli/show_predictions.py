"""Predictions for the command line; the answer of a model says of what kind they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import RenderableType

from kft.cli.command import show
from kft.cli.show import percent, table
from kft.cli.streams import show_json
from kft.scoring.metrics import THRESHOLD

if TYPE_CHECKING:
    from kft.workflows.predict import Prediction

WORDS = ("prediction", "then")
# Rows that are shown together.
ROWS = 32
# A column is no narrower than above, but for a name that is very long.
WIDEST = 60


class Output(Protocol):
    """Takes predictions, each as soon as it is there."""

    def add(self, prediction: Prediction) -> None:
        """Takes one."""

    def end(self) -> None:
        """Shows what is not shown yet."""


class JsonLines:
    """A line of JSON for each example; of classes and labels, the best `top`, or all if None."""

    def __init__(self, top: int | None) -> None:
        self._top = top

    def add(self, prediction: Prediction) -> None:
        """Prints a line."""
        show_json(prediction_line(prediction, self._top), indent=None)

    def end(self) -> None:
        """Nothing is left."""


class PredictionTable:
    """One row for each example; of classes and labels, the best `top` at least."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._widths: dict[str, int] = {}
        self._rows: list[dict[str, str]] = []

    def add(self, prediction: Prediction) -> None:
        """Adds a row, and shows those that wait if they are enough."""
        self._rows.append(table_row(prediction, self._top))
        if len(self._rows) == ROWS:
            self.end()

    def end(self) -> None:
        """Shows the rows that wait."""
        if self._rows:
            show(self.renderable())
        self._rows = []

    def renderable(self) -> RenderableType:
        """Returns the rows that wait, below the names of the columns unless these were above."""
        columns = [*dict.fromkeys(name for row in self._rows for name in row)]
        shown = table(*columns, right=[name for name in columns[1:] if name not in WORDS])
        shown.show_header = not self._widths
        for column in shown.columns:
            name = str(column.header)
            longest = max(len(row.get(name, "")) for row in self._rows)
            width = min(WIDEST, max(len(name), longest, self._widths.get(name, 0)))
            column.min_width = self._widths[name] = width
        for row in self._rows:
            shown.add_row(*(row.get(name, "") for name in columns))
        return shown


def table_row(prediction: Prediction, top: int) -> dict[str, str]:
    """The cells of a prediction, by column."""
    row = {"file": prediction.name}
    if "classes" in prediction.answer:
        (best, score), *others = ranking(prediction, "classes")[:top]
        return row | {"prediction": best, "score": percent(score), "then": scored(others)}
    if "labels" in prediction.answer:
        ranked = ranking(prediction, "labels")
        count = len(likely_labels(ranked))
        then = scored(ranked[count:top])
        return row | {"prediction": scored(ranked[:count]) or "none", "then": then}
    return row | {name: short(value) for name, value in plain(prediction).items()}


def likely_labels(ranked: Sequence[tuple[str, float]]) -> list[str]:
    """The labels that count as predicted."""
    return [name for name, score in ranked if score >= THRESHOLD]


def scored(ranked: Sequence[tuple[str, float]]) -> str:
    """Returns names with their scores, one after another."""
    return ", ".join(f"{name} {percent(score)}" for name, score in ranked)


def short(value: Any) -> str:
    """Returns a value for a table, a number with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def ranking(prediction: Prediction, key: str) -> list[tuple[str, float]]:
    """Returns the classes or labels, as `key` says, and their scores, the best first."""
    names = [name.decode() for name in prediction.answer[key].tolist()]
    return list(zip(names, prediction.answer["scores"].tolist(), strict=True))


def plain(prediction: Prediction) -> dict[str, Any]:
    """Returns values by their names, or of a model of another kind, its answers as they are."""
    answer = prediction.answer
    if not {"values", "names"} <= {*answer}:
        return {name: value.tolist() for name, value in answer.items()}
    names = [name.decode() for name in answer["names"].tolist()]
    return dict(zip(names, answer["values"].tolist(), strict=True))


def prediction_line(prediction: Prediction, top: int | None = None) -> dict[str, Any]:
    """Returns a prediction, ready for JSON."""
    line: dict[str, Any] = {"file": prediction.name}
    if prediction.folder is not None:
        line["folder"] = prediction.folder
    if "classes" in prediction.answer:
        ranked = ranking(prediction, "classes")[:top]
        return line | {"prediction": ranked[0][0], "scores": dict(ranked)}
    if "labels" in prediction.answer:
        ranked = ranking(prediction, "labels")
        return line | {"prediction": likely_labels(ranked), "scores": dict(ranked[:top])}
    return line | {"prediction": plain(prediction)}
