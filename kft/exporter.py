"""The export contract: write the trained model for somebody else's program."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from kft.component import Component
from kft.task import Task

if TYPE_CHECKING:
    from kft.evaluate import Answers


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
        """Returns the largest difference between what `path` answers and the run's `answers`.

        Raises:
            ExportError: The difference is more than rounding explains.
        """
