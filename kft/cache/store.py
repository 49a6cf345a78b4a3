"""Kept features on disk: one file for each set, which later runs read instead of computing.

Since a set is one file, it appears by one rename: nobody sees half of it, and of two runs that
write the same set the last one wins. A row is read through the memory map when it is asked for.
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

from kft.cache.row_file import DamagedError, footer_of, rows_of, write_file

if TYPE_CHECKING:
    import numpy as np

GIB = 2**30
# What all files may take together: those that were not used for longest go first.
LIMIT = 20 * GIB
# What is left free on the disk, for the run's own files.
MARGIN = 2 * GIB
NAME = re.compile(r"[0-9a-f]{40}\.npy")
# Being written; one older than a day was left by a run that was killed.
UNFINISHED = re.compile(r"[0-9a-f]{40}\.\w+\.part")
DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Entry:
    """One set of kept features.

    Attributes:
        told: What whoever wrote it said of it; empty if the file is damaged.
        size: In bytes.
        used: When it was last written or read, in seconds since 1970.
    """

    path: Path
    told: Mapping[str, Any]
    size: int
    used: float

    def in_json(self) -> dict[str, Any]:
        """Returns all that is known, ready for JSON."""
        return {"path": str(self.path), "bytes": self.size, "used": self.used, **self.told}


def directory() -> Path:
    """Returns where the files are: below ``$KFT_CACHE``, or else ``~/.cache/kft``."""
    home = os.environ.get("KFT_CACHE")
    return (Path(home) if home else Path.home() / ".cache" / "kft") / "features"


def path_of(key: str) -> Path:
    """Returns where the features with the 40 hexadecimal digits of `key` are kept."""
    return directory() / f"{key}.npy"


def write(key: str, blocks: Iterable[np.ndarray], told: Mapping[str, Any], size: int) -> None:
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
            write_file(file, blocks, told, size)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path_of(key))
    finally:
        Path(name).unlink(missing_ok=True)


def read(key: str, dtype: np.dtype[Any], size: int) -> np.ndarray | None:
    """Returns the rows under `key` as a memory map, or None if there are none.

    Raises:
        DamagedError: The file was torn or changed, or its rows are others.
    """
    path = path_of(key)
    try:
        with path.open("rb") as file:
            rows = rows_of(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DamagedError(f"it cannot be read: {reason}") from error
    if rows.shape != (size,) or rows.dtype.itemsize != dtype.itemsize:
        raise DamagedError(f"it holds {rows.shape} rows of {rows.dtype}")
    with suppress(OSError):
        os.utime(path)
    return rows.view(dtype)


def entries() -> list[Entry]:
    """Returns all kept features, the one used last first."""
    found = []
    for path in files("*.npy"):
        if not NAME.fullmatch(path.name):
            continue
        # Another run may be taking it away.
        with suppress(OSError):
            found.append(entry_of(path))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def files(pattern: str) -> list[Path]:
    """Returns the files whose names match `pattern`; none where one may not look."""
    try:
        return list(directory().glob(pattern))
    except OSError:
        return []


def entry_of(path: Path) -> Entry:
    """Returns what is known of one file."""
    status = path.stat()
    try:
        with path.open("rb") as file:
            told, _ = footer_of(file)
    except DamagedError:
        told = {}
    return Entry(path, told, status.st_size, status.st_mtime)


def room() -> int:
    """Returns how many bytes one more set may take, if it may push out all others."""
    return max(0, free_bytes() - MARGIN + sum(entry.size for entry in entries()))


def free_bytes() -> int:
    """Returns how many bytes are free where the files are, or will be."""
    folder = directory()
    # Not `Path.exists`, which raises where a folder on the way may not be looked into.
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110
    return shutil.disk_usage(there).free


def make_room(needed: int) -> None:
    """Removes the sets that were not used for longest, until `needed` bytes fit in."""
    remove_unfinished(older_than=DAY)
    kept = entries()
    while kept:
        taken = sum(entry.size for entry in kept)
        if taken + needed <= LIMIT and free_bytes() >= needed + MARGIN:
            return
        remove(kept.pop().path)


def clear() -> list[Entry]:
    """Removes all kept features and returns what they were; other files stay."""
    removed = [entry for entry in entries() if remove(entry.path)]
    remove_unfinished(older_than=0)
    return removed


def remove_unfinished(older_than: float) -> None:
    """Removes what runs began to write and left, if it has so many seconds."""
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
