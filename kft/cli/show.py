"""Tables and sentences for the command line, as rich renderables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kft.messages import in_words, listed
from kft.storage.run_files import SAVED_MODEL

if TYPE_CHECKING:
    from kft.workflows.check import CheckResult
    from kft.workflows.checking.estimate import Estimate
    from kft.workflows.ending import RunResult
    from kft.workflows.init import InitResult
    from kft.workflows.lr_find import LrFindResult

MANY_CLASSES = 20
SPLITS = ("validation", "test")
SHOWN_RATES = 16
# A smaller number, such as an error in metres of things of micrometres, is shown with an exponent.
SMALL = 5e-4
# From so many seconds on, a time is shown in minutes.
MINUTES = 300
NUMBERS = ("epochs", "before", "best", "at epoch", "last", "time")
# What a table of scores shows of those in scores.json, where they are there.
SHOWN_SCORES = {
    "accuracy": ("accuracy",),
    "top 5": ("top_5_accuracy",),
    "micro F1": ("micro", "f1"),
    "macro F1": ("macro", "f1"),
    "mAP": ("mean_average_precision",),
    "all labels right": ("subset_accuracy",),
    "MAE": ("mae",),
    "RMSE": ("rmse",),
    "R²": ("r2",),
    "loss": ("loss",),
}
# Of names of metrics that are shares from 0 to 1.
SHARES = ("accuracy", "precision", "recall", "f1", "auc")


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Returns an empty table; the columns in `right` hold numbers. Nothing is cut off."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column in right,
        )
    return made


def run_summary(result: RunResult) -> RenderableType:
    """The summary of a run that is over."""
    scores = result.scores
    metric = scores["selected"]["monitor"]
    phases = table("phase", *NUMBERS, right=NUMBERS)
    for phase, marks in zip(result.phases, scores["phases"], strict=True):
        phases.add_row(
            phase.name,
            str(len(phase.epochs)),
            measured(metric, marks["before"][metric]),
            measured(metric, marks["best"][metric]),
            str(marks["best"]["epoch"]),
            measured(metric, marks["last"][metric]),
            f"{phase.seconds:.0f} s",
        )
    return Group(
        "",
        Text(f"Validation {metric} of each phase", style="bold"),
        phases,
        "",
        *(Text(f"{early_end(ended)}\n") for ended in [scores["ended_early"]] if ended),
        Text("The selected model", style="bold"),
        Text(selection(scores["selected"])),
        score_table({name: scores[name] for name in SPLITS if name in scores}),
        *([Text(gain(scores))] if scores["gain"] else []),
        *(Text(note) for note in result.notes),
        "",
        *whereabouts(result),
    )


def early_end(ended: Mapping[str, Any]) -> str:
    """Where training ended before its time, and why, in one sentence."""
    where = f"epoch {ended['epoch']}, in {ended['phase']!r}"
    without = f", without {listed(ended['without'])}" if ended["without"] else ""
    return f"Training ended early, after {where}{without}: {ended['by']}."


def selection(selected: Mapping[str, Any]) -> str:
    """The epoch whose weights were selected, in one sentence."""
    epoch = f"epoch {selected['epoch']}, of {selected['phase']!r}"
    if selected["select"] == "auto":
        return f"The weights of {epoch}: the last, or one clearly better."
    if selected["select"] == "last":
        return f"The weights of the last epoch: {epoch}."
    if selected["select"] == "best":
        return f"The weights of the best epoch on validation: {epoch}."
    alpha, tried = selected["alpha"], len(selected["sweep"])
    if alpha in (0, 1):
        return f"The weights of {epoch}: the best of {tried} on validation (alpha {alpha:g})."
    start = selected["start"]
    return (
        f"The best of {tried} on validation: {percent(alpha, 0)} of the way from epoch "
        f"{start['epoch']}, of {start['phase']!r}, to {epoch} (alpha {alpha:g})."
    )


def gain(scores: Mapping[str, Any]) -> str:
    """The gain of fine-tuning on the test split and its interval, in one sentence."""
    gains, over = scores["gain"], scores["selected"]["start"]["phase"]
    split = "test" if "test" in gains else "validation"
    gained, low, high = (
        amount(gains[split][key], gains["metric"]) for key in ("gain", "low", "high")
    )
    where = f"on {split} over {over!r}"
    if gained == low == high:
        return f"Fine-tuning gained nothing {where}."
    unit = "points of accuracy" if gains["metric"] == "accuracy" else f"of {gains['metric']}"
    what = f"{gained} {unit} {where}"
    if gains[split]["gain"] <= 0:
        what = f"nothing {where}: {gained} {unit}"
    return (
        f"Fine-tuning gained {what} ({percent(gains['confidence'], 0)} interval {low} to {high}, "
        "over examples, not over seeds)."
    )


def amount(gain: float, metric: str) -> str:
    """Returns a gain in points for accuracy, else in units of the metric."""
    return f"{100 * gain:.1f}" if metric == "accuracy" else measured(metric, gain)


def percent(share: float, decimals: int = 1) -> str:
    """Returns a share from 0 to 1 as a percentage."""
    if not isfinite(share):
        return "no number"
    return f"{100 * share:.{decimals}f} %"


def score_table(scores: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """Returns the scores of each split, one row each."""
    cells = {name: leading_scores(score) for name, score in scores.items()}
    columns = ("examples", *next(iter(cells.values())))
    shown = table("split", *columns, right=columns)
    for name, score in scores.items():
        shown.add_row(name, str(score["size"]), *cells[name].values())
    return shown


def leading_scores(scores: Mapping[str, Any]) -> dict[str, str]:
    """The scores of one split that a table shows, by column."""
    cells = {}
    for column, path in SHOWN_SCORES.items():
        found: Any = scores
        for key in path:
            found = found.get(key) if found else None
        if path[0] in scores:
            cells[column] = "–" if found is None else measured("_".join(path), found)
            cells[column] += interval(scores, column)
    return cells


def interval(scores: Mapping[str, Any], metric: str) -> str:
    """The confidence interval of a score that is a share, behind it; empty if there is none."""
    ends = scores.get("intervals", {}).get(metric)
    return f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})" if ends and metric in SHARES else ""


def measured(metric: str, score: float) -> str:
    """Returns the value of a metric: shares as a percentage."""
    if not isfinite(score):
        return "no number"
    if metric.endswith(SHARES):
        return percent(score)
    if 0 < abs(score) < SMALL:
        return f"{score:.2e}"
    return f"{score:.4f}" if abs(score) < 10 else f"{score:.6g}"


def whereabouts(result: RunResult) -> list[RenderableType]:
    """Returns the places of the files and the next commands, each on a line that can be copied."""
    directory = near(result.directory)
    lines = [
        f"Everything is in {directory}",
        "  scores.json, predictions.csv, figures/, tensorboard/, checkpoints/",
    ]
    for path, difference in result.exports.items():
        agrees = f"to {difference:.0e}" if difference else "to the last bit"
        lines.append(f"  {path.relative_to(result.directory)}: answers as the run does, {agrees}")
    if result.device_difference is not None:
        lines.append(f"  the GPU's own answers differ by up to {result.device_difference:.0e}")
    lines += ["", f"Score:    kft evaluate {quote(directory)} DATA"]
    if result.directory / SAVED_MODEL in result.exports:
        lines += [
            f"Predict:  kft predict {quote(directory)} FILES…",
            "Serve:    TensorFlow Serving, or tf.saved_model.load without kft",
        ]
    else:
        lines.append(f"Export:   kft export {quote(directory)}, to predict and to serve")
    return [Text(line, no_wrap=True, overflow="ignore") for line in lines]


def near(path: Path) -> str:
    """Returns `path` as it is written from here, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def count_table(
    counts: Mapping[str, Mapping[str, int]], sizes: Mapping[str, int], called: str
) -> RenderableType:
    """The number of examples of each class or label in each split."""
    shown = table(called, *sizes, right=tuple(sizes))
    classes = list(next(iter(counts.values()), {}))
    for name in classes[:MANY_CLASSES]:
        shown.add_row(name, *(str(split[name]) for split in counts.values()))
    if len(classes) > MANY_CLASSES:
        shown.add_row(f"… {len(classes) - MANY_CLASSES} more")
    shown.add_row("all", *map(str, sizes.values()), style="bold")
    return shown


def check_summary(result: CheckResult) -> RenderableType:
    """The findings of a check."""
    notes = [Text(f"note: {note}") for note in result.notes]
    faults = [Text(f"fault: {fault}", style="red") for fault in result.faults]
    skipped = [] if faults else [Text(f"skips: {name} ({why})") for name, why in result.bad.items()]
    verdict = "The run would stop." if faults else "Nothing stands in the way of the run."
    return Group(
        count_table(result.counts, result.sizes, result.called),
        *notes,
        *faults,
        *skipped,
        *([estimate_table(result.estimates)] if result.estimates else []),
        Text(verdict, style="bold"),
    )


def estimate_table(estimates: Sequence[Estimate]) -> RenderableType:
    """The time and memory that each phase takes on this machine."""
    shown = table("phase", "a step", "in all", "memory", right=("a step", "in all", "memory"))
    for each in estimates:
        length = (
            f"{each.seconds:.0f} s" if each.seconds < MINUTES else f"{each.seconds / 60:.0f} min"
        )
        shown.add_row(each.name, f"{each.step:.2g} s", length, in_words(each.memory))
    return shown


def found_rate(result: LrFindResult, written: Sequence[Path]) -> RenderableType:
    """The result of the learning-rate finder, and the files that hold it."""
    found = result.found
    shown = table("rate", "loss", right=("rate", "loss"))
    for number in range(0, len(found.rates), max(1, len(found.rates) // SHOWN_RATES)):
        shown.add_row(f"{found.rates[number]:.1e}", f"{found.smoothed[number]:.4f}")
    return Group(
        Text(f"Loss of {result.phase!r} at rates that grow", style="bold"),
        shown,
        "",
        Text(f"steepest fall:          {found.steepest:.1e}"),
        Text(f"a tenth of the lowest:  {found.tenth:.1e}"),
        Text(f"in the config:          {result.configured:.1e}"),
        *([Text(f"note: {found.note}")] if found.note else []),
        Text(f"Recommended: {found.recommended:.1e}", style="bold"),
        Text(f"  --set phases.{result.number}.optimizer.learning_rate={found.recommended:.1e}"),
        Text(f"Wrote {', '.join(map(str, written))}"),
    )


def init_summary(written: InitResult) -> RenderableType:
    """The config that was written, with the reason for each choice."""
    reasons = table("key", "why")
    for key, why in written.reasons.items():
        reasons.add_row(key, why)
    path = quote(str(written.path))
    return Group(
        Text(f"Wrote {written.path}", style="bold"),
        reasons,
        *(Text(f"note: {note}") for note in written.notes),
        Text(f"Next: kft plan {path}, then kft run {path}", no_wrap=True, overflow="ignore"),
    )
