"""What a killed run goes on from: all that an epoch begins with, on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft.errors import TrainingError
from kft.progress import say
from kft.storage.atomic import replacing, write_text
from kft.storage.run_files import ARRAYS, BEST_WEIGHTS, CONFIG, METRICS, STATE, STATE_BEFORE

if TYPE_CHECKING:
    import numpy as np

# The file of what tells of the data.
EXAMPLES = "examples.npz"

Arrays = Callable[[], "Sequence[np.ndarray]"]


class DamagedError(Exception):
    """A state is not as it was written."""


@dataclass(frozen=True, eq=False)
class SavedState:
    """A state that was found on disk, whole.

    Attributes:
        told: What `RunState.write` was told.
        files: The checksum of each of its files of arrays, by name.
        directory: Of the run.
    """

    told: Mapping[str, Any]
    files: Mapping[str, str]
    directory: Path

    @property
    def phase(self) -> int:
        """The number of the phase that goes on."""
        return len(self.told["phases"])

    @property
    def number(self) -> int:
        """The same for the same state alone."""
        return int(checksum_of(self.told, self.files)[:15], 16)

    def arrays(self, name: str) -> list[np.ndarray]:
        """Returns the arrays in one of the files."""
        import numpy as np

        with np.load(self.directory / ARRAYS / name, allow_pickle=False) as file:
            return [file[str(number)] for number in range(len(file.files))]


def find(directory: Path) -> SavedState | None:
    """Returns the last whole state that a killed run left in its directory; None if it left none.

    Raises:
        TrainingError: There are some, or epochs that had one, and none is whole.
    """
    faults = []
    for name in (STATE, STATE_BEFORE):
        try:
            found = read(directory, name)
        except DamagedError as error:
            faults.append(f"{name} {error}")
            continue
        if faults:
            say(
                f"note: {faults[0]}; going on from the state before it, epoch {found.told['epoch']}"
            )
        return found
    if not any((directory / name).exists() for name in (STATE, STATE_BEFORE, METRICS)):
        return None
    raise damaged(directory, f"its state is damaged: {'; '.join(faults)}")


def read(directory: Path, name: str) -> SavedState:
    """Returns the state that the file `name` holds, with all of its arrays verified.

    Raises:
        DamagedError: It is not as it was written.
    """
    try:
        text = (directory / name).read_text(encoding="utf-8")
        told = dict(json.loads(text))
        files, checksum = told.pop("files"), told.pop("checksum")
    except FileNotFoundError as error:
        raise DamagedError("is missing") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError("is cut off or changed") from error
    if checksum != checksum_of(told, files):
        raise DamagedError("is changed")
    for file, checksum in files.items():
        path = directory / ARRAYS / file
        if not path.is_file() or digest_of(path) != checksum:
            fault = "is cut off or changed" if path.is_file() else "is missing"
            raise DamagedError(f"names {ARRAYS}/{file}, which {fault}")
    return SavedState(told, files, directory)


def damaged(directory: Path, problem: str) -> TrainingError:
    """Returns the error of a run that cannot go on, which says what can still be done with it."""
    fix = f"Begin anew: `{directory / CONFIG}` with another output_dir"
    if (directory / BEST_WEIGHTS).is_file():
        fix += f". The best weights so far are whole: `kft predict {directory} FILES`"
    return TrainingError(f"resume {str(directory)!r}", problem, fix)


def text_of(told: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Returns a state as `read` takes it."""
    return json.dumps({**told, "files": files, "checksum": checksum_of(told, files)})


def checksum_of(told: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Returns a checksum of what a state says."""
    return hashlib.blake2b(json.dumps([told, files]).encode(), digest_size=20).hexdigest()


def digest_of(path: Path) -> str:
    """Returns a checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


class RunState:
    """The state of a run, and the one before it: JSON, and files of arrays that it names.

    Each file is written aside and put in its place at once, ``state.json`` last; so whenever the
    process is killed, the state that is there is a whole one. The one before it is for what nobody
    expects of a disk.

    Attributes:
        directory: Of the run.
        found: What a killed run left, to go on from.
        examples: Arrays that tell of the data, which every state has with it.
    """

    def __init__(self, directory: Path, found: SavedState | None = None) -> None:
        self.directory = directory
        self.found = found
        self.examples: Sequence[np.ndarray] = ()
        self._last = None if found is None else text_of(found.told, found.files)
        self._files = {} if found is None else found.files

    def write(self, told: Mapping[str, Any], files: Mapping[str, Arrays]) -> None:
        """Writes a state: what is `told`, and what gives the arrays of each of its `files`.

        One that the state before names already holds what is in a file of that name.
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
        self._last, self._files = text_of(told, checksums), checksums
        write_text(self.directory / STATE, self._last)

    def remove(self) -> None:
        """Removes the states of a run that is done, and the arrays last."""
        for name in (STATE_BEFORE, STATE):
            (self.directory / name).unlink(missing_ok=True)
        self._remove_all_but(())

    def _remove_all_but(self, names: Sequence[str] | Mapping[str, Any]) -> None:
        for path in (self.directory / ARRAYS).glob("*.npz"):
            if path.name not in names:
                path.unlink()


def write_arrays(path: Path, arrays: Sequence[np.ndarray]) -> None:
    """Writes arrays as `SavedState.arrays` reads them."""
    import numpy as np

    named: dict[str, Any] = {str(number): array for number, array in enumerate(arrays)}
    with replacing(path) as partial:
        np.savez(partial, **named)
