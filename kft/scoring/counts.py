"""Scores of classes that depend on counts alone: how often each is true, predicted, and both.

So they need no confusion matrix, which grows with the square of the classes, and those of
thousands of resamples are as many rows of three arrays. They are scikit-learn's, by test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class Counts:
    """How many examples of each class there are, float64 ``(…, classes)``.

    Attributes:
        true: Of the class.
        predicted: Predicted as the class.
        right: Both.
    """

    true: np.ndarray
    predicted: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, predicted: np.ndarray, classes: int) -> Counts:
        """The counts of examples with these `labels`, of which these classes were `predicted`."""
        import numpy as np

        each = (labels, predicted, labels[labels == predicted])
        return cls(*(np.bincount(part, minlength=classes).astype("float64") for part in each))

    def scores(self) -> dict[str, np.ndarray]:
        """The scores by name, each ``(…,)``; NaN where one is not defined."""
        return {
            "accuracy": self.right.sum(axis=-1) / self.true.sum(axis=-1),
            "balanced_accuracy": self.balanced_accuracy(),
            "macro_f1": self.macro_f1(),
            "matthews_correlation": self.matthews_correlation(),
            "cohen_kappa": self.cohen_kappa(),
        }

    def balanced_accuracy(self) -> np.ndarray:
        """The mean recall of the classes that there are examples of."""
        return mean_over(self.true > 0, share(self.right, self.true))

    def macro_f1(self) -> np.ndarray:
        """The mean F1 of the classes that are true or predicted of any example."""
        either = self.true + self.predicted
        return mean_over(either > 0, share(2 * self.right, either))

    def matthews_correlation(self) -> np.ndarray:
        """The correlation of true and predicted classes (Gorodkin 2004); 0 if either is one."""
        import numpy as np

        size = self.true.sum(axis=-1)
        together = self.right.sum(axis=-1) * size - (self.true * self.predicted).sum(axis=-1)
        spreads = [size**2 - (each**2).sum(axis=-1) for each in (self.true, self.predicted)]
        return share(together, np.sqrt(spreads[0]) * np.sqrt(spreads[1]))

    def cohen_kappa(self) -> np.ndarray:
        """How far the agreement is above that by chance (Cohen 1960); NaN if that is whole."""
        import numpy as np

        size = self.true.sum(axis=-1)
        found = self.right.sum(axis=-1) / size
        by_chance = (self.true * self.predicted).sum(axis=-1) / size**2
        kappa = share(found - by_chance, 1 - by_chance)
        return np.where(by_chance < 1, kappa, np.nan)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns `part` divided by `whole`, and 0 where that is 0."""
    import numpy as np

    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))


def mean_over(counted: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of `values` along the last axis, of those that are `counted`."""
    return share((values * counted).sum(axis=-1), counted.sum(axis=-1).astype("float64"))
