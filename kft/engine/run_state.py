"""Reads and writes the state on disk that a killed run goes on from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kft.errors import TrainingError
from kft.progress import say
from kft.storage.atomic import replacing, write_text
from kft.storage.run_files import ARRAYS, BEST_WEIGHTS, CONFIG, METRICS, STATE, STATE_BEFORE

if TYPE_CHECKING:
    import numpy as np

# The file that identifies the examples.
EXAMPLES = "examples.npz"

Arrays = Callable[[], "Sequence[np.ndarray]"]


class Stateful(Protocol):
    """A part of a run whose state is saved."""

    def state(self) -> dict[str, Any]:
        """Returns all that `restore` needs, ready for JSON."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`, as JSON brought it back."""


class DamagedError(Exception):
    """A state is not as it was written."""


@dataclass(frozen=True, eq=False)
class SavedState:
    """A state on disk that was read and found intact.

    Attributes:
        state: As `RunState.write` was given it.
        files: The checksum of each of its files of arrays, by name.
        directory: Of the run.
    """

    state: Mapping[str, Any]
    files: Mapping[str, str]
    directory: Path

    @property
    def phase(self) -> int:
        """The number of the phase that goes on, counted from 0."""
        return len(self.state["phases"])

    @property
    def number(self) -> int:
        """A 60-bit checksum: equal for equal states, so that workers can compare theirs."""
        return int(checksum_of(self.state, self.files)[:15], 16)

    def arrays(self, name: str) -> list[np.ndarray]:
        """Returns the arrays in the file `name`, in the order in which they were written."""
        return read_arrays(self.directory / ARRAYS / name)


def find_state(directory: Path) -> SavedState | None:
    """Returns the last intact state that a killed run left in its directory; None if it left none.

    Raises:
        TrainingError: There are states, or epochs that had one, and none is intact.
    """
    faults = []
    for name in (STATE, STATE_BEFORE):
        try:
            saved = read_state(directory, name)
        except DamagedError as error:
            faults.append(f"{name} {error}")
            continue
        if faults:
            epoch = saved.state["epoch"]
            say(f"note: {faults[0]}; going on from the state before it, epoch {epoch}")
        return saved
    if not any((directory / name).exists() for name in (STATE, STATE_BEFORE, METRICS)):
        return None
    raise damaged(directory, f"its state is damaged: {'; '.join(faults)}")


def read_state(directory: Path, name: str) -> SavedState:
    """Returns the state in the file `name`, once the checksums of all its files agree.

    Raises:
        DamagedError: It is not as it was written.
    """
    try:
        text = (directory / name).read_text(encoding="utf-8")
        state = dict(json.loads(text))
        files, checksum = state.pop("files"), state.pop("checksum")
    except FileNotFoundError as error:
        raise DamagedError("is missing") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError("is cut off or changed") from error
    if checksum != checksum_of(state, files):
        raise DamagedError("is changed")
    for file, checksum in files.items():
        path = directory / ARRAYS / file
        if not path.is_file() or digest_of(path) != checksum:
            fault = "is cut off or changed" if path.is_file() else "is missing"
            raise DamagedError(f"names {ARRAYS}/{file}, which {fault}")
    return SavedState(state, files, directory)


def damaged(directory: Path, problem: str) -> TrainingError:
    """Returns the error for a run that cannot go on, with what can still be done with it."""
    fix = f"Begin anew: `{directory / CONFIG}` with another output_dir"
    if (directory / BEST_WEIGHTS).is_file():
        fix += f". The best weights so far are whole: `kft predict {directory} FILES`"
    return TrainingError(f"resume {str(directory)!r}", problem, fix)


def text_of(state: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Returns the text of a file that `read_state` reads."""
    return json.dumps({**state, "files": files, "checksum": checksum_of(state, files)})


def checksum_of(state: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Returns a checksum of a state and the checksums of its files, 40 hex digits."""
    return hashlib.blake2b(json.dumps([state, files]).encode(), digest_size=20).hexdigest()


def digest_of(path: Path) -> str:
    """Returns a checksum of the content of a file, 128 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


class RunState:
    """Writes the state of a run, and keeps the one before: JSON, and the arrays that it names.

    Each file is written beside its place and renamed, ``state.json`` last; so whenever the process
    is killed, the state that is there is complete. The one before it is for a disk that fails.

    Attributes:
        directory: Of the run.
        found: The state to go on from; None in a run that begins.
        examples: Arrays that identify the data, saved with every state; may be empty.
    """

    def __init__(self, directory: Path, found: SavedState | None = None) -> None:
        self.directory = directory
        self.found = found
        self.examples: Sequence[np.ndarray] = ()
        self._last = None if found is None else text_of(found.state, found.files)
        self._files = {} if found is None else found.files

    def write(self, state: Mapping[str, Any], files: Mapping[str, Arrays]) -> None:
        """Writes `state`, ready for JSON, and the arrays that each of `files` gives when called.

        A file of a name that the state before has too is not written again, so a name must stand
        for the same arrays all through the run.
        """
        if self.examples:
            files = {**files, EXAMPLES: lambda: self.examples}
        if self._last is not None:
            write_text(self.directory / STATE_BEFORE, self._last)
        self._remove_all_but(self._files)
        checksums = {}
        for name, arrays in files.items():
            path = self.directory / ARRAYS / name
            if name not in self._files:
                write_arrays(path, arrays())
            checksums[name] = self._files.get(name) or digest_of(path)
        self._last, self._files = text_of(state, checksums), checksums
        write_text(self.directory / STATE, self._last)

    def remove(self) -> None:
        """Removes both states, for a run that is done; the arrays last."""
        for name in (STATE_BEFORE, STATE):
            (self.directory / name).unlink(missing_ok=True)
        self._remove_all_but(())

    def _remove_all_but(self, names: Sequence[str] | Mapping[str, Any]) -> None:
        for path in (self.directory / ARRAYS).glob("*.npz"):
            if path.name not in names:
                path.unlink()


def write_arrays(path: Path, arrays: Sequence[np.ndarray]) -> None:
    """Writes `arrays` to a file that `SavedState.arrays` reads."""
    import numpy as np

    named: dict[str, Any] = {str(number): array for number, array in enumerate(arrays)}
    with replacing(path) as partial:
        np.savez(partial, **named)


def read_arrays(path: Path) -> list[np.ndarray]:
    """Returns the arrays that `write_arrays` wrote, in their order."""
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return [file[str(number)] for number in range(len(file.files))]
