"""Arrays in an ``.npz`` file, mapped where they lie on a disk as they are."""

from __future__ import annotations

import io
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kft.errors import DataError
from kft.messages import in_words, one_line
from kft.storage.files import is_remote, local_size, read_bytes

if TYPE_CHECKING:
    import numpy as np

# What Python and NumPy raise of an archive or an array that is damaged, encrypted or too large.
UNREADABLE = (
    *(OSError, ValueError, EOFError, MemoryError, OverflowError, RecursionError, RuntimeError),
    *(SyntaxError, TypeError, KeyError, struct.error, tokenize.TokenError, zlib.error),
    zipfile.BadZipFile,
)
LOCAL_HEADER = 30  # bytes before the name of a member of a ZIP archive (APPNOTE 6.3.10, 4.3.7)


def read_npz(path: str, where: str) -> dict[str, np.ndarray]:
    """Returns the arrays in the file at `path` by name.

    What `numpy.savez` wrote on a disk of this machine is mapped and takes no memory; NumPy itself
    maps only ``.npy`` files. What is compressed or comes from a URL is held.

    Raises:
        DataError: It cannot be read, is no such file, or holds Python objects.
    """
    import numpy as np
    import psutil

    free = int(psutil.virtual_memory().available)
    held = io.BytesIO(read_bytes(path, where, free)) if is_remote(path) else None
    try:
        if held is None:
            local_size(path, sys.maxsize)
        with zipfile.ZipFile(held or path) as archive, np.load(held or path) as arrays:
            stored = {
                member.filename.removesuffix(".npy"): member
                for member in archive.infolist()
                if member.compress_type == zipfile.ZIP_STORED and held is None
            }
            refuse_bomb([each for each in archive.infolist() if each not in stored.values()], free)
            return {
                name: mapped(path, stored[name]) if name in stored else arrays[name]
                for name in arrays.files
            }
    except UNREADABLE as error:
        raise DataError(
            where=f"{where} {path!r}",
            problem=f"cannot be read: {getattr(error, 'strerror', None) or one_line(error)}",
            fix="Give a file that numpy.savez or savez_compressed wrote, of plain arrays",
        ) from error


def refuse_bomb(members: Sequence[zipfile.ZipInfo], free: int) -> None:
    """Raises ValueError if the `members` of an archive, unpacked, take more bytes than are free."""
    needed = sum(member.file_size for member in members)
    if needed > free:
        raise ValueError(f"it takes {in_words(needed)} unpacked, and {in_words(free)} are free")


def mapped(path: str, member: zipfile.ZipInfo) -> np.ndarray:
    """Returns the array that lies uncompressed in the file at `path`.

    Raises:
        ValueError: It holds Python objects, or has a header that only structured arrays need.
    """
    import numpy as np

    with Path(path).open("rb") as file:
        file.seek(member.header_offset + LOCAL_HEADER - 4)
        file.seek(sum(struct.unpack("<HH", file.read(4))), io.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"its array {member.filename!r} is of the format {version}")
        headers = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
        shape, fortran, dtype = headers[version[0] - 1](file)
        if dtype.hasobject:
            raise ValueError(f"its array {member.filename!r} holds Python objects")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")
