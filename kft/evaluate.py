"""Scores a task on one split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.data import Split, Target
from kft.features import outputs_of
from kft.task import Task

if TYPE_CHECKING:
    import keras
    import numpy as np

TOP = 5


@dataclass(frozen=True, eq=False)
class Answers:
    """What a task answers to the examples of a split.

    Attributes:
        split: As found, its examples raw.
        outputs: Predictions ``(size, k)``, float32; probabilities for a class target.
        scores: By metric name, ready for JSON.
    """

    split: Split
    outputs: np.ndarray
    scores: Mapping[str, Any]


def evaluate(
    task: Task, raw: Split, decoded: Split, name: str, model: keras.Model | None = None
) -> Answers:
    """Returns what `task` answers to a split, given as found and decoded, and how good it is.

    `model` is the part of it that takes what `decoded` fetches; None is the whole.
    """
    (outputs,) = outputs_of(model or task.model, decoded, f"Scoring {name}")
    loss = mean_loss(task, decoded, outputs)
    return Answers(raw, outputs, {"loss": loss, **class_scores(raw.labels, outputs, task.target)})


def mean_loss(task: Task, split: Split, outputs: np.ndarray) -> float:
    """Returns the head's loss over the split, without what it adds for large weights."""
    import numpy as np

    labels = np.eye(len(task.target.names), dtype="float32")[split.labels]
    return float(task.head.loss()(labels, outputs))


def class_scores(labels: np.ndarray, outputs: np.ndarray, target: Target) -> dict[str, Any]:
    """Returns the scores of probabilities ``(size, classes)`` against class numbers ``(size,)``.

    Precision, recall and F1 are as scikit-learn's; a class never predicted has precision 0.
    The rows of the confusion matrix are the true classes.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = outputs.argmax(axis=1)
    numbers = range(len(target.names))
    each = precision_recall_fscore_support(labels, predicted, labels=numbers, zero_division=0)
    rows = zip(target.names, *(column.tolist() for column in each), strict=True)
    averages = {
        average: average_scores(labels, predicted, average) for average in ("macro", "weighted")
    }
    return {
        "size": len(labels),
        "accuracy": float((predicted == labels).mean()),
        **top_accuracy(labels, outputs),
        **averages,
        "per_class": {
            name: {"precision": precision, "recall": recall, "f1": f1, "support": int(support)}
            for name, precision, recall, f1, support in rows
        },
        "confusion_matrix": confusion_matrix(labels, predicted, labels=numbers).tolist(),
    }


def average_scores(labels: np.ndarray, predicted: np.ndarray, average: str) -> dict[str, float]:
    """Returns precision, recall and F1 averaged over the classes that are there."""
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)
    return dict(zip(("precision", "recall", "f1"), map(float, scores[:3]), strict=True))


def top_accuracy(labels: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Returns how often the label is among the five likeliest, where there are more classes."""
    if outputs.shape[1] <= TOP:
        return {}
    best = (-outputs).argsort(axis=1, kind="stable")[:, :TOP]
    return {"top_5_accuracy": float((best == labels[:, None]).any(axis=1).mean())}
