"""Estimates what fine-tuning gained, with a confidence interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kft.engine.selection import Selected
from kft.scoring.direction import lower_is_better
from kft.scoring.evaluate import Answers, evaluate
from kft.scoring.intervals import CONFIDENCE, RESAMPLES, percentiles, resampled_means
from kft.scoring.metrics import scoring_of
from kft.task import Task

if TYPE_CHECKING:
    import numpy as np

    from kft.data import Split


def gain(
    task: Task,
    selected: Selected,
    answers: Mapping[str, Answers],
    decoded: Mapping[str, Split],
) -> dict[str, Any] | None:
    """The gain of the selected weights over the best before fine-tuning.

    Measured in the monitored metric if it is a mean over examples, such as accuracy, else in the
    head's loss; for each split in `answers`, with a bootstrap interval over its examples. The
    interval says how far other examples of the same kind might move the gain, not how far another
    seed might; on validation, where the weights were selected, the gain is too high. Of accuracy
    there is McNemar's test, too. None if nothing was fine-tuned.
    """
    if selected.start is None:
        return None
    before = answers_before(task, selected, answers, decoded)
    metric = metric_per_example(task, answers, selected.monitor)
    splits: dict[str, dict[str, Any]] = {}
    for name, answer in answers.items():
        differences = scores_per_example(task, answer, metric) - scores_per_example(
            task, before[name], metric
        )
        splits[name] = bootstrap_interval(differences)
        if metric == "accuracy":
            splits[name]["mcnemar"] = mcnemar(differences > 0, differences < 0)
    about = {"metric": metric, "confidence": CONFIDENCE, "resamples": RESAMPLES}
    return {**about, **splits}


def answers_before(
    task: Task,
    selected: Selected,
    answers: Mapping[str, Answers],
    decoded: Mapping[str, Split],
) -> Mapping[str, Answers]:
    """Returns the answers of the best weights before fine-tuning to each split."""
    if selected.start is None or not selected.is_fine_tuned:
        return answers
    with selected.start.weights.assigned():
        return {
            name: evaluate(task, answer.split, decoded[name], f"{name} as before fine-tuning")
            for name, answer in answers.items()
        }


def metric_per_example(task: Task, answers: Mapping[str, Answers], monitor: str) -> str:
    """Returns `monitor`, or ``loss`` if that metric has no value for a single example."""
    answer = next(iter(answers.values()))
    known = scoring_of(task.target).each(answer.split.labels, answer.outputs)
    return monitor if monitor in known else "loss"


def scores_per_example(task: Task, answers: Answers, metric: str) -> np.ndarray:
    """Returns `metric` of each example, float64 ``(size,)``, negated if lower is better."""
    if metric == "loss":
        each = answers.losses
    else:
        each = scoring_of(task.target).each(answers.split.labels, answers.outputs)[metric]
    return -each if lower_is_better(metric) else each


def bootstrap_interval(differences: np.ndarray) -> dict[str, float]:
    """Returns the mean of paired `differences`, ``(size,)``, and its percentile interval."""
    low, high = percentiles(resampled_means(differences))
    return {"gain": float(differences.mean()), "low": low, "high": high}


def mcnemar(better: np.ndarray, worse: np.ndarray) -> dict[str, Any]:
    """The exact test of McNemar 1947, of examples that only one of two models gets right.

    The p-value is that of a difference as large as this, or larger, if both were as good.
    """
    from scipy.stats import binomtest

    won, lost = int(better.sum()), int(worse.sum())
    p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    return {"only_after": won, "only_before": lost, "p": p}
