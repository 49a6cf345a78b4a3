"""Whether a metric is better when it is higher or lower, by the end of its name."""

from __future__ import annotations

import math

LOWER_IS_BETTER = ("loss", "error", "mae", "mse", "rmse")
HIGHER_IS_BETTER = ("accuracy", "acc", "auc", "precision", "recall", "f1", "f1_score", "r2")


def not_nan(score: float) -> float:
    """`score`, or the worst there is where it is not a number."""
    return -math.inf if math.isnan(score) else score


def lower_is_better(metric: str) -> bool:
    """Says whether `metric` is a loss or an error; the higher of any other is better."""
    return metric.endswith(LOWER_IS_BETTER)
