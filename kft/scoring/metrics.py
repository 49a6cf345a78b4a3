"""Scores of predictions, and their text in tables: one class for each kind of target.

Scores are scikit-learn's; it is imported inside functions, since it is slow to come.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.data import Target
from kft.scoring.classification import (
    TOP,
    averaged,
    by_name,
    confusion_matrix,
    confusions,
    top_accuracy,
)
from kft.scoring.counts import Counts
from kft.scoring.intervals import count_intervals, label_intervals, mean_intervals, wilson
from kft.scoring.probabilities import (
    RANKED_CLASSES,
    brier_scores,
    calibration,
    log_losses,
    means_of,
    ranking_scores,
)

if TYPE_CHECKING:
    import numpy as np

# The probability from which on a label of several counts as predicted.
THRESHOLD = 0.5
# Of so many classes or labels at most, a table of predictions has a column for each.
MOST_COLUMNS = 1_000


@dataclass(frozen=True)
class Scoring(ABC):
    """Scores predictions of one kind of target, and writes them as text.

    Labels are as those of a `Split`, class numbers ``(size,)`` or ``(size, k)``; outputs, of a
    head, ``(size, k)``.
    """

    target: Target

    @abstractmethod
    def scores(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """Returns the scores by name, ready for JSON."""

    @abstractmethod
    def intervals(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """Returns the confidence interval of some scores by name, as `intervals` has them.

        None where the examples leave no spread: they then say nothing of how others would do.
        """

    @abstractmethod
    def each(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns those metrics that are means over examples, float64 ``(size,)``, by name."""

    @abstractmethod
    def counts(self, labels: np.ndarray) -> dict[str, int]:
        """The number of examples of each class or label; nothing for values."""

    @abstractmethod
    def text(self, label: Any) -> str:
        """Returns the label of one example as a person would write it."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The names of the cells of a `row`."""

    @abstractmethod
    def row(self, label: Any, outputs: np.ndarray) -> tuple[str, ...]:
        """The cells of one example, with outputs ``(k,)``, in a table of predictions."""


class ClassScoring(Scoring):
    """Of one class out of several; outputs are probabilities."""

    def scores(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """Precision, recall and F1 are as scikit-learn's; a class never predicted has precision 0.

        Their micro averages are the accuracy, so they are not repeated.

        The rows of the confusion matrix are the true classes; it is None of more classes than
        `MATRIX_CLASSES`. The confusions are its cells off the diagonal that are not 0. Of more than
        `RANKED_CLASSES`, none is ranked against the rest.
        """
        import numpy as np

        names, predicted = self.target.names, outputs.argmax(axis=1)
        counted = Counts.of(labels, predicted, len(names)).scores()
        del counted["macro_f1"]
        per_class = by_name(names, labels, predicted)
        macro: dict[str, float | None] = {**averaged(labels, predicted, "macro")}
        if len(names) <= RANKED_CLASSES:
            ranked = ranking_scores(np.eye(len(names), dtype=bool)[labels], outputs)
            macro |= means_of(ranked)
            per_class = {
                name: {**per_class[name], **scores}
                for name, scores in zip(names, ranked, strict=True)
            }
        return {
            "size": len(labels),
            **{name: number(float(score)) for name, score in counted.items()},
            **top_accuracy(labels, outputs),
            "log_loss": float(log_losses(labels, outputs).mean()),
            "brier": float(brier_scores(labels, outputs).mean()),
            "macro": macro,
            "weighted": averaged(labels, predicted, "weighted"),
            "per_class": per_class,
            "calibration": calibration(predicted == labels, outputs.max(axis=1)),
            "confusions": confusions(self.target.names, labels, predicted),
            "confusion_matrix": confusion_matrix(len(self.target.names), labels, predicted),
        }

    def intervals(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        predicted = outputs.argmax(axis=1)
        each = {"log_loss": log_losses(labels, outputs), "brier": brier_scores(labels, outputs)}
        return {
            **count_intervals(labels, predicted, len(self.target.names)),
            **mean_intervals(each),
        }

    def each(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"accuracy": (outputs.argmax(axis=1) == labels).astype("float64")}

    def counts(self, labels: np.ndarray) -> dict[str, int]:
        import numpy as np

        names = self.target.names
        return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))

    def text(self, label: Any) -> str:
        return self.target.names[int(label)]

    @property
    def columns(self) -> tuple[str, ...]:
        return ("label", "prediction", *share_columns(self.target.names))

    def row(self, label: Any, outputs: np.ndarray) -> tuple[str, ...]:
        return (self.text(label), self.text(outputs.argmax()), *shares(self.target.names, outputs))


class LabelScoring(Scoring):
    """Of any number of labels; outputs are probabilities, and from a half on a label counts."""

    def scores(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """Macro averages leave out labels that no example has and none is predicted to have.

        The average precision of a label that no example has is None, and not in the mean.
        """
        import numpy as np
        from sklearn.metrics import average_precision_score

        predicted, there = outputs >= THRESHOLD, labels.max(axis=0) > 0
        ranked = [
            float(average_precision_score(truth, share)) if has else None
            for truth, share, has in zip(labels.T, outputs.T, there, strict=True)
        ]
        per_label = by_name(self.target.names, labels, predicted)
        counted = np.flatnonzero(there | predicted.any(axis=0))
        return {
            "size": len(labels),
            "micro": averaged(labels, predicted, "micro"),
            "macro": averaged(labels, predicted, "macro", counted if counted.size else None),
            "mean_average_precision": float(np.mean([x for x in ranked if x is not None] or [0])),
            "subset_accuracy": float((predicted == labels).all(axis=1).mean()),
            "per_label": {
                name: {**per_label[name], "average_precision": average_precision}
                for name, average_precision in zip(self.target.names, ranked, strict=True)
            },
        }

    def intervals(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        right = ((outputs >= THRESHOLD) == labels).all(axis=1)
        return {
            **label_intervals(labels > 0, outputs >= THRESHOLD),
            "subset_accuracy": wilson(int(right.sum()), len(labels)),
        }

    def each(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
        return {}

    def counts(self, labels: np.ndarray) -> dict[str, int]:
        numbers = (int(count) for count in labels.sum(axis=0))
        return dict(zip(self.target.names, numbers, strict=True))

    def text(self, label: Any) -> str:
        return "|".join(name for name, has in zip(self.target.names, label, strict=True) if has)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("label", "prediction", *share_columns(self.target.names))

    def row(self, label: Any, outputs: np.ndarray) -> tuple[str, ...]:
        return (
            self.text(label),
            self.text(outputs >= THRESHOLD),
            *shares(self.target.names, outputs),
        )


class ValueScoring(Scoring):
    """Of one or more numbers, in the units of the data."""

    def scores(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """The scores of several values are the means of those of each.

        R² is 0 for predicting the mean of the split, 1 for the truth; None of fewer than two
        examples.
        """
        import numpy as np
        from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

        scored = {"mae": mean_absolute_error, "rmse": root_mean_squared_error, "r2": r2_score}
        each = {
            name: function(labels, outputs, multioutput="raw_values")
            if name != "r2" or len(labels) > 1
            else np.full(labels.shape[1], np.nan)
            for name, function in scored.items()
        }
        rows = zip(*(column.tolist() for column in each.values()), strict=True)
        return {
            "size": len(labels),
            **{name: number(column.mean()) for name, column in each.items()},
            "per_value": {
                name: dict(zip(each, map(number, row), strict=True))
                for name, row in zip(self.target.names, rows, strict=True)
            },
        }

    def intervals(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        return mean_intervals(self.each(labels, outputs))

    def each(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"mae": abs(outputs.astype("float64") - labels).mean(axis=1)}

    def counts(self, labels: np.ndarray) -> dict[str, int]:
        return {}

    def text(self, label: Any) -> str:
        return "|".join(map(str, label))

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.target.names, *(f"predicted {name}" for name in self.target.names))

    def row(self, label: Any, outputs: np.ndarray) -> tuple[str, ...]:
        return (*map(str, label), *map(str, outputs))


def scoring_of(target: Target) -> Scoring:
    """The scoring of predictions of `target`."""
    kinds: dict[str, Callable[[Target], Scoring]] = {
        "class": ClassScoring,
        "multilabel": LabelScoring,
        "value": ValueScoring,
    }
    return kinds[target.kind](target)


def number(score: float) -> float | None:
    """Returns `score` ready for JSON, which knows no NaN."""
    return None if score != score else float(score)


def share_columns(names: Sequence[str]) -> Sequence[str]:
    """Returns the columns of probabilities: one for each of `names`, of many the likeliest."""
    if len(names) <= MOST_COLUMNS:
        return names
    return [
        column
        for place in range(1, TOP + 1)
        for column in (f"likeliest {place}", f"probability {place}")
    ]


def shares(names: Sequence[str], outputs: np.ndarray) -> Sequence[str]:
    """Returns the probabilities of one example, ``(k,)``, as text for `share_columns`."""
    if len(names) <= MOST_COLUMNS:
        return [f"{share:.6g}" for share in outputs]
    best = (-outputs).argsort(kind="stable")[:TOP]
    return [text for place in best for text in (names[place], f"{outputs[place]:.6g}")]
