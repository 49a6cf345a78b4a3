"""Writes the scalars of each epoch for TensorBoard.

Imported inside functions only, since it imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kft.engine.callbacks.event_file import EventFile
from kft.progress import for_people


class TensorBoard:
    """Writes the scalars of each epoch; after an error it warns once and writes no more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, EventFile] = {}
        self._is_broken = False
        self._try(self._open)

    def add(self, record: Mapping[str, Any]) -> None:
        """Writes a record, as in ``metrics.jsonl``."""
        self._try(lambda: self._add(record))

    def close(self) -> None:
        """Closes the files."""
        self._try(self._close)

    def _try(self, write: Callable[[], None]) -> None:
        if self._is_broken:
            return
        self._is_broken = True
        with for_people(f"{self._folder}"):
            write()
            self._is_broken = False

    def _open(self) -> None:
        for name in ("train", "validation"):
            self._writers[name] = EventFile(self._folder / name)

    def _add(self, record: Mapping[str, Any]) -> None:
        names = [key[4:] for key in record if key.startswith("val_")]
        of_training = {name: record[name] for name in (*names, "learning_rate")}
        self._writers["train"].add(of_training, record["epoch"])
        of_validation = {name: record[f"val_{name}"] for name in names}
        self._writers["validation"].add(of_validation, record["epoch"])

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
