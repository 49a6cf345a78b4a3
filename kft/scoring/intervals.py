"""Confidence intervals of scores, by the bootstrap: how far other examples might move them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kft.scoring.counts import Counts

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2_000
CONFIDENCE = 0.95
DRAWS_AT_ONCE = 5_000_000


def interval_of(scores: np.ndarray) -> list[float] | None:
    """The percentile interval of the `scores` of resamples; None if they leave no spread.

    So it is of a model that makes no mistake on few examples: that says nothing of others.
    """
    import numpy as np

    known = scores[np.isfinite(scores)]
    if not known.size or known.min() == known.max():
        return None
    return percentiles(known)


def percentiles(scores: np.ndarray) -> list[float]:
    """The ends between which the middle `CONFIDENCE` of `scores` lie."""
    import numpy as np

    return [float(end) for end in np.quantile(scores, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])]


def resampled_means(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """The means of `values`, float64 ``(size, …)``, over each resample, ``(RESAMPLES, …)``.

    A resample draws as many examples as there are, with replacement (Efron 1979).
    """
    import numpy as np

    return np.concatenate([drawn @ values / len(values) for drawn in draws(len(values), seed)])


def resamples_at_once(width: int) -> Iterator[int]:
    """Yields how many resamples of so many numbers to make at once, until all are made."""
    each = max(1, DRAWS_AT_ONCE // width)
    for start in range(0, RESAMPLES, each):
        yield min(each, RESAMPLES - start)


def draws(size: int, seed: int) -> Iterator[np.ndarray]:
    """Yields how often each of `size` examples is drawn, float64 ``(some resamples, size)``."""
    import numpy as np

    random = np.random.default_rng(seed)
    for count in resamples_at_once(size):
        drawn = random.integers(size, size=(count, size))
        numbers = drawn + size * np.arange(count)[:, None]
        yield (
            np.bincount(numbers.ravel(), minlength=count * size)
            .reshape(count, size)
            .astype("float64")
        )


def count_intervals(
    labels: np.ndarray, predicted: np.ndarray, classes: int
) -> dict[str, list[float] | None]:
    """The interval of each score of `Counts`, and of the accuracy that of Wilson 1927.

    What is drawn is how often each pair of a true and a predicted class comes, which is as if the
    examples were.
    """
    import numpy as np
    from scipy.sparse import csr_array

    pairs, often = np.unique(np.stack([labels, predicted]), axis=1, return_counts=True)
    count = pairs.shape[1]
    is_right = pairs[0] == pairs[1]
    rows = np.arange(count)
    true, guessed, right = (
        csr_array((weights.astype("float64"), (rows, columns)), shape=(count, classes))
        for weights, columns in (
            (np.ones(count), pairs[0]),
            (np.ones(count), pairs[1]),
            (is_right, pairs[0]),
        )
    )
    random, found = np.random.default_rng(0), []
    for resamples in resamples_at_once(max(count, classes)):
        drawn = random.multinomial(len(labels), often / len(labels), size=resamples).astype(
            "float64"
        )
        found.append(Counts(drawn @ true, drawn @ guessed, drawn @ right).scores())
    intervals = {
        name: interval_of(np.concatenate([scores[name] for scores in found])) for name in found[0]
    }
    return {**intervals, "accuracy": wilson(int((labels == predicted).sum()), len(labels))}


def wilson(right: int, size: int) -> list[float]:
    """The interval of a share of `right` examples; it has a width where all are right, too."""
    from scipy.stats import binomtest

    found = binomtest(right, size).proportion_ci(CONFIDENCE, method="wilson")
    return [float(found.low), float(found.high)]


def label_intervals(labels: np.ndarray, predicted: np.ndarray) -> dict[str, list[float] | None]:
    """The intervals of micro and macro F1 of several labels, bool ``(size, k)`` each."""
    import numpy as np

    each = np.stack([labels, predicted, labels & predicted], axis=1).astype("float64")
    means = resampled_means(each.reshape(len(labels), -1)).reshape(-1, *each.shape[1:])
    by_label = [means[:, row] for row in range(3)]
    together = [part.sum(axis=-1, keepdims=True) for part in by_label]
    return {
        "micro_f1": interval_of(Counts(*together).macro_f1()),
        "macro_f1": interval_of(Counts(*by_label).macro_f1()),
    }


def mean_intervals(each: Mapping[str, np.ndarray]) -> dict[str, list[float] | None]:
    """The interval of each mean of values of single examples, float64 ``(size,)`` by name."""
    import numpy as np

    if not each:
        return {}
    means = resampled_means(np.stack([*each.values()], axis=1))
    return {name: interval_of(column) for name, column in zip(each, means.T, strict=True)}
