"""Decoded examples on disk, so that neither the epochs nor the next run decode them again.

They lie with the kept features, in one file for each split. Its name is made of the path, size
and time of every file and of how the input reads them, as build tools do it: to digest the files
would take as long as to read them. An example that could not be read is a row of zeros.
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kft import __version__
from kft.cache import store
from kft.cache.inference import has_size
from kft.cache.key import DIGEST_BYTES
from kft.cache.row_file import DamagedError
from kft.data import Split
from kft.input import Input
from kft.progress import say

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


def row_of(spec: tf.TensorSpec | None) -> np.dtype[Any]:
    """Returns the dtype of a row: a decoded example of `spec`, if given, and its digest."""
    import numpy as np

    digest = ("digest", "u1", (DIGEST_BYTES,))
    if spec is None:
        return np.dtype([digest])
    return np.dtype([("input", spec.dtype.as_numpy_dtype, tuple(spec.shape)), digest])


@dataclass(frozen=True, eq=False)
class Prepared:
    """The place on disk of what the examples of a split decode to.

    Attributes:
        key: Of the file there.
        split: The examples, not decoded.
        row: Of one example, as `row_of` says.
    """

    key: str
    split: Split
    input: Input
    row: np.dtype[Any]

    def find(self) -> RowsOnDisk | None:
        """Returns the rows that are there, verified, or None."""
        try:
            rows = store.read(self.key, self.row, self.split.size)
            found = None if rows is None else RowsOnDisk(rows)
        except FileNotFoundError:
            return None  # Another run has just removed it.
        except DamagedError as error:
            say(f"{store.path_of(self.key)} is of no use, since {error}: decoding again")
            return None
        return found if found is not None and self._agrees(found) else None

    def _agrees(self, rows: RowsOnDisk) -> bool:
        """Says whether the input, of which the code may have changed, still decodes the first."""
        import numpy as np
        import tensorflow as tf

        good = np.flatnonzero(rows.digests.any(axis=1))[:1]
        if not good.size:
            return False
        now = self.input.decode(self.split.fetch(tf.constant(good[0], "int64")))
        return np.array_equal(now, rows.take(good)["input"][0])

    def write(self, blocks: Iterable[np.ndarray]) -> bool:
        """Writes all rows, which come in `blocks`, and says whether it could."""
        told = {
            "backbone": "decoded",
            "examples": self.split.size,
            "first_example": str(self.split.names[0]),
            "shapes": [list(self.row["input"].shape)],
            "dtypes": [str(self.row["input"].base)],
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            store.make_room(self.split.size * self.row.itemsize)
            store.write(self.key, blocks, told, self.split.size)
        except OSError as error:
            say(f"Cannot keep decoded examples: {error.strerror}. The next run decodes them again")
            return False
        if key_of(stamps(self.split.files or ()), self.input) != self.key:
            # A file was written to meanwhile; should it come back as it was, it is another.
            store.remove(store.path_of(self.key))
            return False
        return True


def prepared_of(split: Split, input: Input) -> Prepared | None:
    """Returns where decoded examples are kept; None if they cannot be, or be found again."""
    spec = input.spec
    if not has_size(spec):
        return None
    row = row_of(spec)
    files = stamps(split.files or ())
    if not files or split.size * row.itemsize > store.room():
        return None
    return Prepared(key_of(files, input), split, input, row)


def stamps(files: Iterable[str]) -> list[tuple[str, int, int]]:
    """Returns path, size in bytes and time in nanoseconds of each file; of none if one is gone."""
    try:
        found = [(os.path.abspath(file), os.stat(file)) for file in files]  # noqa: PTH100, PTH116
    except OSError:
        return []
    return [(path, status.st_size, status.st_mtime_ns) for path, status in found]


def key_of(files: Iterable[tuple[str, int, int]], input: Input) -> str:
    """Returns 40 hexadecimal digits for files of these `stamps`, as `input` decodes them."""
    from importlib.metadata import version

    made = hashlib.blake2b(digest_size=20)
    settings = input.model_dump(mode="json", exclude=set(input.unused_by_decode))
    code = f"{type(input).__module__}:{type(input).__qualname__}"
    parts = [code, input.decode_version, settings, __version__, version("tensorflow")]
    made.update(json.dumps(parts, sort_keys=True).encode())
    for path, size, time in files:
        made.update(os.fsencode(f"{path}\0{size}\0{time}\0"))
    return made.hexdigest()


class RowsOnDisk:
    """Rows of a file, read one by one: a map of it would count as memory of the process.

    Attributes:
        digests: Of the examples, uint8 ``(size, 16)``; zeros where one could not be read.
    """

    def __init__(self, rows: np.ndarray) -> None:
        import numpy as np

        self._row, self._start = rows.dtype, int(rows.offset)  # type: ignore[attr-defined]
        # Held open: another run may replace or remove the file.
        self._file = os.open(rows.filename, os.O_RDONLY)  # type: ignore[attr-defined]
        weakref.finalize(self, os.close, self._file)
        self.digests = self._read(np.arange(len(rows)), "digest")

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Returns the rows at `indices`, ``(batch,)``."""
        import numpy as np

        taken = np.empty(len(indices), self._row)
        for name in self._row.names or ():
            taken[name] = self._read(indices, name)
        return taken

    def _read(self, indices: np.ndarray, name: str) -> np.ndarray:
        """Returns one field of the rows at `indices`."""
        import numpy as np

        kind, offset = self._row.fields[name][:2]  # type: ignore[index]
        found = np.empty(len(indices), kind)
        for place, index in enumerate(indices.tolist()):
            start = self._start + index * self._row.itemsize + offset
            data = os.pread(self._file, kind.itemsize, start)
            found[place] = np.frombuffer(data, kind.base).reshape(kind.shape)
        return found

    def fetch(self, kept: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns what fetches the inputs of the rows `kept`, of one number or a vector."""
        import numpy as np
        import tensorflow as tf

        kind = self._row["input"]

        def take(index: np.ndarray) -> np.ndarray:
            found = self._read(kept[np.atleast_1d(index)], "input")
            return found.reshape(*index.shape, *kind.shape)

        def fetch(index: tf.Tensor) -> tf.Tensor:
            output = tf.numpy_function(take, [index], tf.as_dtype(kind.base), stateful=False)
            return tf.ensure_shape(output, index.shape.concatenate(kind.shape))

        return fetch
