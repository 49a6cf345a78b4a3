"""The export contract: write the trained model for somebody else's program."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from kft.component import Component
from kft.data import Target
from kft.task import Task

if TYPE_CHECKING:
    import numpy as np

    from kft.evaluate import Answers


def difference_of(served: np.ndarray, expected: np.ndarray, target: Target) -> float:
    """Returns the largest difference between outputs ``(size, k)``; NaN if one is no number.

    Of values in any unit, it is a share of the largest of that name: rounding grows with it.
    """
    import numpy as np

    difference = np.abs(served - expected)
    if target.kind == "value":
        largest = np.abs(expected).max(axis=0, initial=0.0)
        difference = difference / np.where(largest > 0, largest, 1.0)
    return float(difference.max(initial=0.0))


class Exporter(Component):
    """Writes a task in one format."""

    role: ClassVar[str] = "exporter"

    @abstractmethod
    def export(self, task: Task, directory: Path) -> Path:
        """Writes into `directory`, which exists, and returns the path written.

        Raises:
            ExportError: There is no room, or something is there already.
        """

    @abstractmethod
    def verify(self, path: Path, task: Task, answers: Answers) -> float:
        """Returns the `difference_of` what `path` answers and the run's `answers`.

        Raises:
            ExportError: The difference is more than rounding explains.
        """
