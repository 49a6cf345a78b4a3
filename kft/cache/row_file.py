"""A file of rows, which tells whether it is whole.

It is a ``.npy`` with one row for each example, so that any program can read it, and a footer
behind the array, which NumPy passes over: what the rows are, and a checksum.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

MAGIC = b"kft features 1\n"
LENGTH = struct.Struct("<Q")
READ_AT_ONCE = 2**24


class DamagedError(Exception):
    """A file does not hold what it says; it is of use to nobody."""


def write_file(
    file: BinaryIO, blocks: Iterable[np.ndarray], told: Mapping[str, Any], size: int
) -> None:
    """Writes `size` rows, which come in `blocks` of one dtype, and what is `told` of them."""
    checksum = write_rows(file, blocks, size)
    footer = json.dumps({**told, "checksum": checksum}).encode()
    file.write(footer + LENGTH.pack(len(footer)) + MAGIC)


def write_rows(file: BinaryIO, blocks: Iterable[np.ndarray], size: int) -> str:
    """Writes the array and returns its checksum, its header included."""
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


def rows_of(file: BinaryIO) -> np.ndarray:
    """Returns the rows in an open file as a memory map.

    Raises:
        DamagedError: They are not as they were written.
    """
    footer, end = footer_of(file)
    # Before NumPy reads the header: of a damaged one it raises and warns of anything.
    if checksum_of(file, end) != footer.get("checksum"):
        raise DamagedError("its checksum is another")
    return mapped(file)


def mapped(file: BinaryIO) -> np.ndarray:
    """Returns the array in an open file as a memory map."""
    import numpy as np
    from numpy.lib import format as npy

    file.seek(0)
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    return np.memmap(file, dtype, "r", file.tell(), shape)


def checksum_of(file: BinaryIO, size: int) -> str:
    """Returns the checksum of the first `size` bytes of an open file.

    By plain reads: what is read through a map counts as memory of the process.
    """
    checksum = hashlib.blake2b(digest_size=20)
    file.seek(0)
    while data := file.read(min(READ_AT_ONCE, size)):
        checksum.update(data)
        size -= len(data)
    return checksum.hexdigest()


def footer_of(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """Returns what stands behind the array in an open file, and where it begins.

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
