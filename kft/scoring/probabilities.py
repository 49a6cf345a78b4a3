"""Scores of probabilities: how good their order is, how near they are, and whether they hold.

scikit-learn's where it has them; it is imported inside functions, since it is slow to come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

BINS = 15
# Of so many classes at most each is ranked against the rest.
RANKED_CLASSES = 100


def ranking_scores(is_it: np.ndarray, outputs: np.ndarray) -> list[dict[str, float | None]]:
    """ROC-AUC and average precision of each column of `outputs`, one against the rest.

    `is_it` says of each example and class whether it is of it, ``(size, k)``. None where all
    examples are of a class, or none is.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}
    return [
        {
            name: float(score(truth, output)) if 0 < truth.sum() < len(truth) else None
            for name, score in scores.items()
        }
        for truth, output in zip(is_it.T, outputs.T, strict=True)
    ]


def means_of(each: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """The mean of each score over the classes that have it; None if none has."""
    import numpy as np

    found = {name: [score for row in each if (score := row[name]) is not None] for name in each[0]}
    return {name: float(np.mean(scores)) if scores else None for name, scores in found.items()}


def log_losses(labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """The negative logarithm of the probability of each true class, float64 ``(size,)``.

    Probabilities are at least the smallest step of float32 from 1, as in scikit-learn.
    """
    import numpy as np

    least = np.finfo("float32").eps
    shares = np.clip(outputs.astype("float64"), least, 1 - least)
    own = np.take_along_axis(shares, labels[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(own / shares.sum(axis=1)))


def brier_scores(labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """The squared distance of the probabilities from the truth, 0 to 2, float64 ``(size,)``.

    That of Brier 1950, over all classes; of two, scikit-learn gives half of it.
    """
    import numpy as np

    own = np.take_along_axis(outputs, labels[:, None], axis=1)[:, 0].astype("float64")
    return np.asarray((outputs.astype("float64") ** 2).sum(axis=1) - 2 * own + 1)


def calibration(right: np.ndarray, confidence: np.ndarray) -> dict[str, Any]:
    """How far confidence is from the share that is right, on average, and in each bin.

    The expected calibration error (Guo et al. 2017) with bins of equal mass (Nixon et al. 2019):
    each holds as many examples, in the order of their confidence.
    """
    import numpy as np

    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if part.size]
    bins = [
        {
            "confidence": float(confidence[part].mean(dtype="float64")),
            "accuracy": float(right[part].mean(dtype="float64")),
            "size": int(part.size),
        }
        for part in parts
    ]
    error = sum(each["size"] * abs(each["confidence"] - each["accuracy"]) for each in bins)
    return {"expected_calibration_error": error / len(right), "bins": bins}
