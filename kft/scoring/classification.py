"""Scores of predicted classes and labels, as arrays of their numbers.

Most are scikit-learn's; it is imported inside functions, since it is slow to come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

TOP = 5
# Of so many classes at most there is a confusion matrix: it grows with their square.
MATRIX_CLASSES = 100


def by_name(names: Sequence[str], labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Returns precision, recall, F1 and the number of examples of each class or label."""
    from sklearn.metrics import precision_recall_fscore_support

    numbers = range(len(names))
    each = precision_recall_fscore_support(labels, predicted, labels=numbers, zero_division=0)
    rows = zip(names, *(column.tolist() for column in each), strict=True)
    return {
        name: {"precision": precision, "recall": recall, "f1": f1, "support": int(support)}
        for name, precision, recall, f1, support in rows
    }


def averaged(
    labels: np.ndarray, predicted: np.ndarray, average: str, numbers: np.ndarray | None = None
) -> dict[str, float]:
    """Returns precision, recall and F1, averaged over the labels `numbers`, or all there are."""
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(
        labels, predicted, labels=numbers, average=average, zero_division=0
    )
    return dict(zip(("precision", "recall", "f1"), map(float, scores[:3]), strict=True))


def confusion_matrix(
    classes: int, labels: np.ndarray, predicted: np.ndarray
) -> list[list[int]] | None:
    """How often each true class (row) was predicted as each class; None of too many classes."""
    from sklearn.metrics import confusion_matrix as matrix_of

    if classes > MATRIX_CLASSES:
        return None
    matrix: list[list[int]] = matrix_of(labels, predicted, labels=range(classes)).tolist()
    return matrix


def confusions(
    names: Sequence[str], labels: np.ndarray, predicted: np.ndarray
) -> list[dict[str, Any]]:
    """Each pair of confused classes with its count, the most frequent first."""
    import numpy as np

    wrong = labels != predicted
    pairs, counts = np.unique(
        np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")
    return [
        {"true": names[true], "predicted": names[other], "count": count}
        for (true, other), count in zip(pairs[order].tolist(), counts[order].tolist(), strict=True)
    ]


def top_accuracy(labels: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """The top-5 accuracy, where there are more than five classes.

    Of equals, the first in label order is the likelier.
    """
    import numpy as np

    if outputs.shape[1] <= TOP:
        return {}
    own = np.take_along_axis(outputs, labels[:, None], axis=1)
    before = np.arange(outputs.shape[1]) < labels[:, None]
    # Not by sorting, which takes eight bytes for each example and class, and long.
    likelier = (outputs > own) | ((outputs == own) & before)
    return {"top_5_accuracy": float((likelier.sum(axis=1) < TOP).mean())}
