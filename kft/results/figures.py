"""Figures of a run, drawn without a screen."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kft.data import Target
from kft.finder.found_rate import FoundRate
from kft.messages import shortened
from kft.storage.run_files import METRICS

if TYPE_CHECKING:
    import numpy as np

    from kft.scoring.evaluate import Answers

READABLE_CELLS = 20
# A figure grows with what it shows, and the matrix with its square: more is not drawn.
MOST_CLASSES = 40
MOST_BARS = 30
MOST_VALUES = 9
BLOWN_UP = 2.0


@contextmanager
def drawn(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Gives a figure of so many inches, and writes it to `path` as PNG; its texts are literal."""
    # A class may be called "$5_$10": by itself, matplotlib reads that as mathematics.
    with rc_context({"text.parse_math": False, "text.usetex": False}), warnings.catch_warnings():
        # In the place of a letter that the font lacks is a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(path, dpi=120)


def draw_learning_curves(directory: Path, selected: Mapping[str, Any], path: Path) -> None:
    """Draws loss and the leading metric over the epochs of all phases, and what was `selected`."""
    lines = (directory / METRICS).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    metrics = [key for key in records[0] if f"val_{key}" in records[0] and key != "loss"]
    names = ["loss", *metrics[:1]]
    with drawn(path, 5 * len(names), 4) as figure:
        each = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(each, names, strict=True):
            draw_curve(axes, records, name)
            mark_selected(axes, selected, records, name)
            axes.legend()


def draw_curve(axes: Any, records: Sequence[dict[str, Any]], name: str) -> None:
    """Draws one metric on training and on validation data, the phases apart."""
    epochs = [record["epoch"] for record in records]
    for key, label in ((name, "training"), (f"val_{name}", "validation")):
        axes.plot(epochs, [record[key] for record in records], marker=".", label=label)
    for number, (phase, part) in enumerate(groupby(records, key=lambda record: record["phase"])):
        first = next(part)["epoch"]
        if number:
            axes.axvline(first - 0.5, color="0.6", linestyle=":")
        at = axes.get_xaxis_transform()
        axes.text(first - 0.4, 1.02, shortened(phase), transform=at, color="0.4", fontsize=9)
    # Of a single epoch, matplotlib would show too little for the name of the phase to fit in.
    axes.set(xlabel="epoch", ylabel=name, xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def mark_selected(
    axes: Any, selected: Mapping[str, Any], records: Sequence[dict[str, Any]], name: str
) -> None:
    """Marks the validation score of the selected weights: of an epoch, or between two."""
    epoch, alpha = selected["epoch"], selected["alpha"]
    if alpha in (None, 0, 1):
        (score,) = (record[f"val_{name}"] for record in records if record["epoch"] == epoch)
        axes.plot(epoch, score, "ko", markersize=9, fillstyle="none", label="selected")
        return
    (score,) = (scores[name] for scores in selected["sweep"] if scores["alpha"] == alpha)
    ends = [selected["start"]["epoch"], epoch]
    axes.plot(
        ends, [score, score], "k--", linewidth=1, label=f"selected, between (alpha {alpha:g})"
    )


def draw_found_rate(found: FoundRate, configured: float, path: Path) -> None:
    """Draws the loss over the rate, with what a finder suggests and what the config has."""
    with drawn(path, 7, 4) as figure:
        axes = figure.subplots()
        axes.plot(found.rates, found.losses, color="0.8", label="each batch")
        axes.plot(found.rates, found.smoothed, label="smoothed")
        for rate, label, style in (
            (found.steepest, "steepest", ":"),
            (found.tenth, "a tenth of the lowest", "--"),
            (configured, "in the config", "-."),
        ):
            best = " (recommended)" if rate == found.recommended else ""
            axes.axvline(rate, color="0.4", linestyle=style, label=f"{label}: {rate:.1e}{best}")
        top = BLOWN_UP * found.smoothed[0]
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.xaxis.set_major_formatter("{x:.0e}")  # Its own is mathematics.
        axes.xaxis.set_minor_formatter("")
        axes.set_ylim(0, min(max(found.losses), top) * 1.05)
        axes.grid(alpha=0.3)
        axes.legend()


def draw_answers(test: Answers, target: Target, folder: Path) -> None:
    """Draws how good the answers are, in the way that fits what is predicted."""
    if target.kind == "class" and len(target.names) <= MOST_CLASSES:
        matrix = test.scores["confusion_matrix"]
        draw_confusion(matrix, target.names, folder / "confusion_matrix.png")
    elif target.kind == "class":
        draw_confusions(test.scores["confusions"], folder / "confusions.png")
    elif target.kind == "multilabel":
        draw_labels(test.scores["per_label"], folder / "labels.png")
    else:
        draw_values(test.split.labels, test.outputs, target.names, folder / "values.png")


def draw_labels(scores: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draws precision, recall and F1 of each label as bars, with the number of its examples.

    Of many labels, those with the lowest F1 of those that some example has.
    """
    shown = list(scores.items())
    if len(shown) > MOST_BARS:
        there = [pair for pair in shown if pair[1]["support"]]
        shown = sorted(there, key=lambda pair: float(pair[1]["f1"]))[:MOST_BARS]
    with drawn(path, 8, max(3.0, 0.5 * len(shown) + 1)) as figure:
        axes = figure.subplots()
        for place, name in enumerate(("precision", "recall", "f1")):
            at = [number + 0.27 * (place - 1) for number in range(len(shown))]
            axes.barh(at, [score[name] for _, score in shown], height=0.25, label=name)
        texts = [f"{shortened(name)} ({score['support']})" for name, score in shown]
        axes.set_yticks(range(len(shown)), texts)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel="score", ylabel="label (examples)")
        axes.set_title(of_all(len(shown), len(scores), "labels, those with the lowest F1"))
        axes.grid(alpha=0.3, axis="x")
        figure.legend(loc="outside upper right", ncols=3)


def draw_values(labels: np.ndarray, outputs: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Draws each predicted value against the true one; on the line both are the same.

    Of many values, the first.
    """
    shown = names[:MOST_VALUES]
    with drawn(path, 5 * len(shown), 5) as figure:
        each = zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True)
        for number, (axes, name) in enumerate(each):
            true, predicted = labels[:, number], outputs[:, number]
            axes.scatter(true, predicted, s=12, alpha=0.6)
            ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
            axes.plot(ends, ends, color="0.6", linestyle=":")
            axes.set(xlabel=f"true {shortened(name)}", ylabel=f"predicted {shortened(name)}")
            axes.grid(alpha=0.3)
        figure.suptitle(of_all(len(shown), len(names), "values"))


def draw_confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], path: Path) -> None:
    """Draws how often each true class (row) was taken for each other (column)."""
    size = max(5.0, 0.45 * len(names) + 2)
    with drawn(path, size, size) as figure:
        axes = figure.subplots()
        shares = [[count / max(sum(row), 1) for count in row] for row in matrix]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set(xlabel="predicted", ylabel="true")
        texts = [shortened(name) for name in names]
        axes.set_xticks(range(len(names)), texts, rotation=90)
        axes.set_yticks(range(len(names)), texts)
        if len(names) <= READABLE_CELLS:
            write_counts(axes, matrix, shares)


def write_counts(axes: Any, matrix: Any, shares: Any) -> None:
    """Writes the counts into the cells, in white where the cell is dark."""
    for row, counts in enumerate(matrix):
        for column, count in enumerate(counts):
            color = "white" if shares[row][column] > 0.5 else "0.2"
            if count:
                axes.text(column, row, str(count), ha="center", va="center", color=color)


def draw_confusions(confusions: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws the most frequent of `confusions`, as scores have them, as bars."""
    shown = confusions[:MOST_BARS]
    with drawn(path, 9, max(3.0, 0.3 * len(shown) + 1)) as figure:
        axes = figure.subplots()
        axes.barh(range(len(shown)), [pair["count"] for pair in shown])
        texts = [f"{shortened(pair['true'])} → {shortened(pair['predicted'])}" for pair in shown]
        axes.set_yticks(range(len(shown)), texts)
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="examples", ylabel="true → predicted")
        axes.set_title(
            of_all(len(shown), len(confusions), "confusions, the most frequent")
            if shown
            else "no class was taken for another"
        )
        axes.grid(alpha=0.3, axis="x")


def of_all(shown: int, there: int, what: str) -> str:
    """Returns a title that says that not all is shown, else none."""
    return f"{shown} of {there} {what}" if shown < there else ""
