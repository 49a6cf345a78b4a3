"""Tables of predictions for the command line; the answer of a model says its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from kft.cli.show import percent, table
from kft.scoring.metrics import THRESHOLD

if TYPE_CHECKING:
    from kft.workflows.predict import Prediction

WORDS = ("prediction", "then")


class PredictionTable:
    """One row for each example; of classes and labels, the best `top` at least."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._columns: list[str] = []
        self.rows: list[list[str]] = []

    def add(self, prediction: Prediction) -> None:
        """Adds a row; what is not shown of the prediction is not kept."""
        if "classes" in prediction.answer:
            columns = ["prediction", "score", "then"]
            row = class_row(ranking(prediction, "classes"), self._top)
        elif "labels" in prediction.answer:
            columns = ["prediction", "then"]
            row = label_row(ranking(prediction, "labels"), self._top)
        else:
            values = plain(prediction)
            columns, row = list(values), [short(value) for value in values.values()]
        self._columns = columns
        self.rows.append([prediction.name, *row])

    def renderable(self) -> RenderableType:
        """Returns the table."""
        right = [name for name in self._columns if name not in WORDS]
        shown = table("file", *self._columns, right=right)
        for row in self.rows:
            shown.add_row(*row)
        return shown


def class_row(ranked: Sequence[tuple[str, float]], top: int) -> list[str]:
    """Returns the best class, its score, and the classes that come next."""
    (best, score), *_ = ranked
    return [best, percent(score), listed(ranked[1:top])]


def label_row(ranked: Sequence[tuple[str, float]], top: int) -> list[str]:
    """Returns the labels that count as predicted, and those that come next."""
    there = [pair for pair in ranked if pair[1] >= THRESHOLD]
    return [listed(there) or "none", listed(ranked[len(there) : top])]


def listed(ranked: Sequence[tuple[str, float]]) -> str:
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


def prediction_line(prediction: Prediction) -> dict[str, Any]:
    """Returns a prediction, ready for JSON."""
    line: dict[str, Any] = {"file": prediction.name}
    if "classes" in prediction.answer:
        ranked = ranking(prediction, "classes")
        line |= {"prediction": ranked[0][0], "scores": dict(ranked)}
    elif "labels" in prediction.answer:
        ranked = ranking(prediction, "labels")
        there = [name for name, score in ranked if score >= THRESHOLD]
        line |= {"prediction": there, "scores": dict(ranked)}
    else:
        line["prediction"] = plain(prediction)
    return line
