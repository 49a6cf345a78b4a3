"""A file of rows, which says whether it is whole.

It is a ``.npy`` with one row for each example, so that any program can read it, and a footer
behind the array, which NumPy passes over: metadata as JSON, and a checksum.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

MAGIC = b"kft features 1\n"
LENGTH = struct.Struct("<Q")
READ_AT_ONCE = 2**24  # bytes


class DamagedError(Exception):
    """A file does not hold what it says; nobody can use it."""


class RowFile:
    """Rows in a file that stays open, since another run may replace or remove it.

    Attributes:
        row: The dtype of one row.
        size: The number of rows.
    """

    def __init__(self, file: BinaryIO, row: np.dtype[Any], size: int) -> None:
        """Verifies `file`, which the caller may close.

        Raises:
            DamagedError: The rows are not as they were written, or are others.
        """
        footer, end = read_footer(file)
        # Before NumPy reads the header: of a damaged one it raises and warns of anything.
        if checksum_of(file, end) != footer.get("checksum"):
            raise DamagedError("its checksum is another")
        self.row, self.size = row, size
        self._offset = offset_of(file, row, size)
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def mapped(self) -> np.ndarray:
        """A memory map of all rows, ``(size,)``.

        Many rows are read at once, but the pages that were read count as memory of the process.
        """
        import numpy as np

        with open(self._descriptor, "rb", closefd=False) as file:
            return np.memmap(file, self.row, "r", self._offset, (self.size,))

    def read(self, indices: np.ndarray, name: str) -> np.ndarray:
        """The field `name` of the rows at `indices`, ``(batch, …)``.

        By a plain read for each: a memory map would count as memory of the process.
        """
        import numpy as np

        field, offset = self.row.fields[name][:2]  # type: ignore[index]
        values = np.empty(len(indices), field)
        for place, index in enumerate(indices.tolist()):
            start = self._offset + index * self.row.itemsize + offset
            data = os.pread(self._descriptor, field.itemsize, start)
            values[place] = np.frombuffer(data, field.base).reshape(field.shape)
        return values


def write_file(
    file: BinaryIO, blocks: Iterable[np.ndarray], metadata: Mapping[str, Any], size: int
) -> None:
    """Writes `size` rows, which come in `blocks` of one dtype, and the footer."""
    checksum = write_rows(file, blocks, size)
    footer = json.dumps({**metadata, "checksum": checksum}).encode()
    file.write(footer + LENGTH.pack(len(footer)) + MAGIC)


def write_rows(file: BinaryIO, blocks: Iterable[np.ndarray], size: int) -> str:
    """Writes the array and returns the checksum of its header and rows."""
    from numpy.lib import format as npy

    checksum = hashlib.blake2b(digest_size=20)
    for number, block in enumerate(blocks):
        if number == 0:
            header = io.BytesIO()
            descr = npy.dtype_to_descr(block.dtype)
            npy.write_array_header_1_0(
                header, {"descr": descr, "fortran_order": False, "shape": (size,)}
            )
            checksum.update(header.getbuffer())
            file.write(header.getbuffer())
        data = block.view("u1").data
        checksum.update(data)
        file.write(data)
    return checksum.hexdigest()


def offset_of(file: BinaryIO, row: np.dtype[Any], size: int) -> int:
    """The number of bytes before the rows in an open file.

    Raises:
        DamagedError: They are not `size` rows as large as `row`.
    """
    from numpy.lib import format as npy

    file.seek(0)
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    if shape != (size,) or dtype.itemsize != row.itemsize:
        raise DamagedError(f"it holds {shape} rows of {dtype}")
    return file.tell()


def checksum_of(file: BinaryIO, size: int) -> str:
    """The checksum of the first `size` bytes of an open file.

    By plain reads: what is read through a memory map counts as memory of the process.
    """
    checksum = hashlib.blake2b(digest_size=20)
    file.seek(0)
    while data := file.read(min(READ_AT_ONCE, size)):
        checksum.update(data)
        size -= len(data)
    return checksum.hexdigest()


def read_footer(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The metadata with the checksum in an open file, and the byte at which they begin.

    Raises:
        DamagedError: There is no footer.
    """
    size = file.seek(0, os.SEEK_END)
    end = max(0, size - LENGTH.size - len(MAGIC))
    file.seek(end)
    tail = file.read()
    if not tail.endswith(MAGIC) or len(tail) != LENGTH.size + len(MAGIC):
        raise DamagedError("it is cut off")
    (length,) = LENGTH.unpack(tail[: LENGTH.size])
    begin = max(0, end - length)
    file.seek(begin)
    try:
        return dict(json.loads(file.read(end - begin))), begin
    except (TypeError, ValueError) as error:
        raise DamagedError("its footer is not JSON") from error
