"""What a killed run goes on from: all that an epoch begins with, on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft.run_dir import ARRAYS, STATE

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class Found:
    """A state that was found on disk.

    Attributes:
        told: What `RunState.write` was told.
        directory: Of the run.
    """

    told: Mapping[str, Any]
    directory: Path

    @property
    def phase(self) -> int:
        """The number of the phase that goes on."""
        return len(self.told["phases"])

    def arrays(self, name: str) -> list[np.ndarray]:
        """Returns the arrays in one of the files."""
        import numpy as np

        with np.load(self.directory / ARRAYS / name, allow_pickle=False) as file:
            return [file[str(number)] for number in range(len(file.files))]


def find(directory: Path) -> Found | None:
    """Returns the state that a killed run left in its directory, or None."""
    path = directory / STATE
    return (
        Found(json.loads(path.read_text(encoding="utf-8")), directory) if path.is_file() else None
    )


class RunState:
    """The state of a run: ``state.json``, and files of arrays that it names.

    Each is written aside and put in its place at once, ``state.json`` last; so whenever the process
    is killed, the state that is there is a whole one.

    Attributes:
        directory: Of the run.
        found: What a killed run left, to go on from.
    """

    def __init__(self, directory: Path, found: Found | None = None) -> None:
        self.directory = directory
        self.found = found

    def write(
        self, told: Mapping[str, Any], files: Mapping[str, Callable[[], Sequence[np.ndarray]]]
    ) -> None:
        """Writes a state: what is `told`, and what gives the arrays of each of its `files`.

        One that is there already holds what is in a file of that name.
        """
        import numpy as np

        folder = self.directory / ARRAYS
        for name, arrays in files.items():
            if not (folder / name).exists():
                partial = folder / f"{name}.partial"
                with partial.open("wb") as file:
                    named: dict[str, Any] = {str(n): a for n, a in enumerate(arrays())}
                    np.savez(file, **named)
                put(partial, folder / name)
        partial = self.directory / f"{STATE}.partial"
        partial.write_text(json.dumps(told), encoding="utf-8")
        put(partial, self.directory / STATE)
        self._remove_all_but(files)

    def remove(self) -> None:
        """Removes the state of a run that is done."""
        (self.directory / STATE).unlink(missing_ok=True)
        self._remove_all_but(())

    def _remove_all_but(self, names: Sequence[str] | Mapping[str, Any]) -> None:
        for path in (self.directory / ARRAYS).glob("*.npz*"):
            if path.name not in names:
                path.unlink()


def put(partial: Path, path: Path) -> None:
    """Puts a file that is written in its place, on disk first: a machine may lose its power."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
