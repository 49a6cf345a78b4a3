"""What fine-tuning gained, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kft.evaluate import Answers
from kft.features import outputs_of
from kft.selection import Selected
from kft.snapshot import Snapshot
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
    monitor: str,
) -> dict[str, Any] | None:
    """Returns how much better the selected weights are than the best before fine-tuning.

    Accuracy where that is monitored, else the fall of the head's loss; on each split that was
    answered, with a bootstrap interval over its examples. That interval says how far other
    examples of the same kind might move the gain. It does not say how far another seed might,
    and validation, where the weights were selected, flatters. None if nothing was fine-tuned.
    """
    if selected.start is None:
        return None
    before = outputs_before(task, selected, answers, decoded)
    metric = "accuracy" if monitor == "accuracy" else "loss"
    splits = {
        name: interval(
            goodness(task, answer.split, answer.outputs, metric)
            - goodness(task, answer.split, before[name], metric)
        )
        for name, answer in answers.items()
    }
    about = {"metric": metric, "confidence": CONFIDENCE, "resamples": RESAMPLES}
    return {**about, **splits}


def outputs_before(
    task: Task,
    selected: Selected,
    answers: Mapping[str, Answers],
    decoded: Mapping[str, Split],
) -> dict[str, np.ndarray]:
    """Returns what the best weights before fine-tuning answer, ``(size, k)`` for each split."""
    if selected.start is None or not selected.is_fine_tuned:
        return {name: answer.outputs for name, answer in answers.items()}
    now = Snapshot.of(task.model.variables)
    selected.start.weights.restore()
    outputs = {
        name: outputs_of(task.model, decoded[name], f"Scoring {name} as before fine-tuning")[0]
        for name in answers
    }
    now.restore()
    return outputs


def goodness(task: Task, split: Split, outputs: np.ndarray, metric: str) -> np.ndarray:
    """Returns float64 ``(size,)``, higher is better: 1 for a hit, or the negative loss."""
    import numpy as np

    if metric == "accuracy":
        return np.asarray(outputs.argmax(axis=1) == split.labels, "float64")
    labels = np.eye(len(task.target.names), dtype="float32")[split.labels]
    losses = np.asarray(task.head.loss().call(labels, outputs), "float64")
    return np.asarray(-losses.reshape(len(outputs), -1).mean(axis=1))


def interval(differences: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Returns the mean of paired `differences` ``(size,)`` and its percentile interval.

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
