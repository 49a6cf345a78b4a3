"""Cached rows on disk: one file for each set, which later runs read instead of computing.

Since a set is one file, it appears by one rename: nobody sees half of it, and of two runs that
write the same set the last one wins.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft.cache.row_file import DamagedError, RowFile, read_footer, write_file

if TYPE_CHECKING:
    import numpy as np

GIB = 2**30  # bytes
# What all files may take together: those that were not used for longest go first.
LIMIT = 20 * GIB
# What is left free on the disk, for the run's own files.
MARGIN = 2 * GIB
NAME = re.compile(r"[0-9a-f]{40}\.npy")
# Being written; one older than a day was left by a run that was killed.
UNFINISHED = re.compile(r"[0-9a-f]{40}\.\w+\.part")
DAY = 24 * 60 * 60  # seconds


@dataclass(frozen=True)
class Entry:
    """One set of cached rows.

    Attributes:
        metadata: As `CachedRows.metadata`; empty if the file is damaged.
        size: In bytes.
        used: When it was last written or read, in seconds since 1970.
    """

    path: Path
    metadata: Mapping[str, Any]
    size: int
    used: float

    def in_json(self) -> dict[str, Any]:
        """All that is known, ready for JSON."""
        return {"path": str(self.path), "bytes": self.size, "used": self.used, **self.metadata}


def directory() -> Path:
    """The folder of the files: below ``$KFT_CACHE``, or else ``~/.cache/kft``."""
    home = os.environ.get("KFT_CACHE")
    return (Path(home) if home else Path.home() / ".cache" / "kft") / "features"


def path_of(key: str) -> Path:
    """The file of the rows under `key`, 40 hexadecimal digits."""
    return directory() / f"{key}.npy"


def write(key: str, blocks: Iterable[np.ndarray], metadata: Mapping[str, Any], size: int) -> None:
    """Writes `size` rows, which come in `blocks` of one dtype, under `key`.

    Raises:
        OSError: The disk is full, or may not be written to; nothing is left behind.
    """
    folder = directory()
    # What is in there says something of the user's data, so it is for nobody else to read.
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(prefix=f"{key}.", suffix=".part", dir=folder)
    try:
        # By plain writes: a memory map of a full disk would end the process.
        with os.fdopen(handle, "wb") as file:
            write_file(file, blocks, metadata, size)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path_of(key))
    finally:
        Path(name).unlink(missing_ok=True)


def read(key: str, row: np.dtype[Any], size: int) -> RowFile | None:
    """Opens the `size` rows of the dtype `row` under `key`, or gives None if there are none.

    Raises:
        DamagedError: The file was torn or changed, or its rows are others.
    """
    path = path_of(key)
    try:
        with path.open("rb") as file:
            rows = RowFile(file, row, size)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DamagedError(f"it cannot be read: {reason}") from error
    with suppress(OSError):
        os.utime(path)
    return rows


def entries() -> list[Entry]:
    """All sets of rows, the one used last first."""
    sets = []
    for path in files("*.npy"):
        if not NAME.fullmatch(path.name):
            continue
        # Another run may be taking it away.
        with suppress(OSError):
            sets.append(entry_of(path))
    return sorted(sets, key=lambda entry: entry.used, reverse=True)


def files(pattern: str) -> list[Path]:
    """The files whose names match `pattern`; none where one may not look."""
    try:
        return list(directory().glob(pattern))
    except OSError:
        return []


def entry_of(path: Path) -> Entry:
    """Reads the metadata, size and time of one file."""
    status = path.stat()
    try:
        with path.open("rb") as file:
            metadata, _ = read_footer(file)
    except DamagedError:
        metadata = {}
    return Entry(path, metadata, status.st_size, status.st_mtime)


def room() -> int:
    """How many bytes one more set may take, if it may push out all others."""
    return max(0, free_bytes() - MARGIN + sum(entry.size for entry in entries()))


def free_bytes() -> int:
    """How many bytes are free where the files are, or will be."""
    folder = directory()
    # Not `Path.exists`, which raises where a folder on the way may not be looked into.
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110
    return shutil.disk_usage(there).free


def make_room(needed: int) -> None:
    """Removes the sets that were not used for longest, until `needed` bytes fit in."""
    remove_unfinished(older_than=DAY)
    present = entries()
    while present:
        taken = sum(entry.size for entry in present)
        if taken + needed <= LIMIT and free_bytes() >= needed + MARGIN:
            return
        remove(present.pop().path)


def clear() -> list[Entry]:
    """Removes all cached rows and returns what they were; other files stay."""
    removed = [entry for entry in entries() if remove(entry.path)]
    remove_unfinished(older_than=0)
    return removed


def remove_unfinished(older_than: float) -> None:
    """Removes what runs began to write and left, if it is at least so many seconds old."""
    for path in files("*.part"):
        with suppress(OSError):
            if UNFINISHED.fullmatch(path.name) and path.stat().st_mtime <= time.time() - older_than:
                path.unlink()


def remove(path: Path) -> bool:
    """Removes a file and says whether it could; a run that has mapped it can read on."""
    try:
        path.unlink()
    except OSError:
        return False
    return True
