"""Estimates what fine-tuning gained, with a confidence interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kft.engine.selection import Selected
from kft.scoring.direction import lower_is_better
from kft.scoring.evaluate import Answers, evaluate
from kft.scoring.metrics import scoring_of
from kft.task import Task

if TYPE_CHECKING:
    import numpy as np

    from kft.data import Split

RESAMPLES = 2_000
CONFIDENCE = 0.95
DRAWS_AT_ONCE = 5_000_000


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
    seed might; on validation, where the weights were selected, the gain is too high. None if
    nothing was fine-tuned.
    """
    if selected.start is None:
        return None
    before = answers_before(task, selected, answers, decoded)
    metric = metric_per_example(task, answers, selected.monitor)
    splits = {
        name: bootstrap_interval(
            scores_per_example(task, answer, metric)
            - scores_per_example(task, before[name], metric)
        )
        for name, answer in answers.items()
    }
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


def bootstrap_interval(differences: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Returns the mean of paired `differences`, ``(size,)``, and its percentile interval.

    Each resample draws as many examples as there are, with replacement (Efron 1979).
    """
    import numpy as np

    size, random = len(differences), np.random.default_rng(seed)
    each = max(1, DRAWS_AT_ONCE // size)
    counts = [min(each, RESAMPLES - start) for start in range(0, RESAMPLES, each)]
    draws = (random.integers(size, size=(count, size), dtype="int32") for count in counts)
    means = np.concatenate([differences[drawn].mean(axis=1) for drawn in draws])
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"gain": float(differences.mean()), "low": float(low), "high": float(high)}
