"""One cache of rows, for decoded examples and for features.

Rows are found on disk and verified, or else computed; they are then in memory, on disk or both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kft.cache import store
from kft.cache.key import DIGEST
from kft.cache.row_file import DamagedError, RowFile
from kft.data import Split
from kft.distribute.cluster import is_chief, min_over_workers
from kft.out_of_memory import out_of_memory_as_error
from kft.progress import say

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True, eq=False)
class CachedRows(ABC):
    """A row for each example of a split, and how to compute it.

    Attributes:
        split: The examples.
        row: The dtype of one row, with a named field for each array in it.
        key: Names the file, 40 hexadecimal digits made of all that the rows depend on; None if
            they are not to be on disk.
        title: What computing them does, for progress and messages.
        contents: What they are, ready for JSON, as `kft cache list` shows it.
    """

    split: Split
    row: np.dtype[Any]
    key: str | None
    title: str
    contents: Mapping[str, Any]

    @property
    def size(self) -> int:
        """The number of rows."""
        return self.split.size

    @abstractmethod
    def compute(self) -> Iterator[np.ndarray]:
        """Yields all rows in order, in blocks ``(n,)`` of the dtype `row`."""

    @abstractmethod
    def agrees(self, stored: RowFile) -> bool:
        """Says whether the code still gives the first row that is `stored`.

        No key knows of all code: a user's own may have changed.
        """

    @abstractmethod
    def is_unchanged(self) -> bool:
        """Says whether what the rows were computed from is still what `key` was made of."""

    def metadata(self) -> dict[str, Any]:
        """Describes the rows, ready for JSON."""
        arrays = [self.row[name] for name in self.row.names or () if name != DIGEST]
        return {
            **self.contents,
            "examples": self.size,
            "first_example": str(self.split.names[0]),
            "shapes": [list(array.shape) for array in arrays],
            "dtypes": [str(array.base) for array in arrays],
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }


class RowCache:
    """Finds, computes and writes the rows of one run.

    All workers call it together and get rows from the same place; the chief writes.

    Attributes:
        disk_failed: Whether rows could not be written; no others are then.
    """

    def __init__(self) -> None:
        self.disk_failed = False

    def get(self, rows: CachedRows, in_memory: bool) -> np.ndarray | RowFile | None:
        """The rows, ``(size,)``: those on disk, or computed now and written there.

        If they are to be held `in_memory`, they are an array, which may be a map of the file. Else
        they are an open file, or None if it cannot be written and read by all workers.
        """
        stored = find(rows)
        if stored is not None:
            say(f"{rows.title}: found on disk, from an earlier run")
            return stored.mapped() if in_memory else stored
        if not in_memory:
            written = self._write(rows, rows.compute())
            return find(rows, just_written=True) if written else None
        with rows_in_memory(rows.title):
            computed = computed_rows(rows)
        self._write(rows, [computed])
        return computed

    def _write(self, rows: CachedRows, blocks: Iterable[np.ndarray]) -> bool:
        """Lets the chief write `blocks` and says whether it could."""
        if rows.key is None or self.disk_failed:
            return False
        blocks = iter(blocks)
        try:
            if is_chief():
                store.make_room(rows.size * rows.row.itemsize)
                store.write(rows.key, blocks, rows.metadata(), rows.size)
                if not rows.is_unchanged():
                    store.remove(store.path_of(rows.key))
        except OSError as error:
            self.disk_failed = True
            problem = f"{store.directory()} cannot be written to: {error.strerror or error}"
            say(f"{rows.title}: {problem}. The next run will not find it")
        for _ in blocks:
            pass  # All workers compute them together, also for one that does not write.
        self.disk_failed = not min_over_workers(not self.disk_failed)
        return not self.disk_failed


def rows_in_memory(title: str) -> AbstractContextManager[None]:
    """Turns running out of memory, where rows are held in it, into an error."""
    fix = "Set it to 'disk', or end other programs that hold memory"
    return out_of_memory_as_error("cache", f"{title}: to keep it in memory", fix)


def computed_rows(rows: CachedRows) -> np.ndarray:
    """Computes all rows into memory, ``(size,)``."""
    import numpy as np

    computed = np.empty(rows.size, rows.row)
    start = 0
    for block in rows.compute():
        computed[start : start + len(block)] = block
        start += len(block)
    return computed


def find(rows: CachedRows, just_written: bool = False) -> RowFile | None:
    """Opens and verifies the rows on disk, if all workers find them: all must go the same way."""
    if rows.key is None:
        return None
    stored, fault = None, ""
    try:
        stored = store.read(rows.key, rows.row, rows.size)
        if stored is not None and not just_written and not rows.agrees(stored):
            stored, fault = None, "the code now gives others"
    except DamagedError as error:
        fault = str(error)
    if fault:
        say(f"{store.path_of(rows.key)} cannot be used, since {fault}: computing it again")
    return stored if min_over_workers(stored is not None) else None


def fetch_from_disk(
    read: Callable[[np.ndarray], Sequence[np.ndarray]], fields: Sequence[np.dtype[Any]]
) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Makes a function of an int64 index, or a vector of them, that fetches rows whenever called.

    `read` takes indices ``(batch,)`` and gives an array ``(batch, …)`` for each of `fields`.
    """
    import numpy as np
    import tensorflow as tf

    def read_fields(index: np.ndarray) -> list[np.ndarray]:
        arrays = read(np.atleast_1d(index))
        return [
            np.ascontiguousarray(array.reshape(*index.shape, *field.shape))
            for array, field in zip(arrays, fields, strict=True)
        ]

    def fetch(index: tf.Tensor) -> list[tf.Tensor]:
        dtypes = [tf.as_dtype(field.base) for field in fields]
        tensors = tf.numpy_function(read_fields, [index], dtypes, stateful=False)
        # Where TensorFlow 2.21 runs eagerly, it makes no list of a single tensor.
        listed: list[tf.Tensor] = tf.nest.flatten(tensors)
        for tensor, field in zip(listed, fields, strict=True):
            tensor.set_shape(index.shape.concatenate(field.shape))
        return listed

    return fetch
