"""Files of this machine, or of another system that TensorFlow's gfile reads, such as gs://…."""

from __future__ import annotations

import csv
import errno
import importlib
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft.errors import DataError
from kft.messages import in_words, one_line
from kft.settings.bounds import MOST_EXAMPLE_BYTES, MOST_TABLE_BYTES

if TYPE_CHECKING:
    import tensorflow as tf


def is_remote(path: str) -> bool:
    """Says whether `path` is a URL, which only TensorFlow can read."""
    return "://" in path


def require_reader(path: str, where: str) -> None:
    """Refuses a URL of a kind that TensorFlow does not know, even with tensorflow-io.

    Raises:
        DataError: Names the kind.
    """
    import tensorflow as tf

    scheme = path.partition("://")[0]
    if scheme not in tf.io.gfile.get_registered_schemes():
        # It adds s3, az and others. One that does not fit TensorFlow fails in many ways.
        with suppress(Exception):
            importlib.import_module("tensorflow_io")
    if scheme not in tf.io.gfile.get_registered_schemes():
        raise DataError(
            where=f"{where} {path!r}",
            problem=f"is a URL of the kind {scheme!r}, which TensorFlow cannot read here",
            fix="Install a version of tensorflow-io that fits TensorFlow and reads it, or copy the "
            "data to a disk",
        )


SORTS = {
    stat.S_IFDIR: (errno.EISDIR, os.strerror(errno.EISDIR)),
    stat.S_IFIFO: (errno.EINVAL, "Is a pipe, no file"),
    stat.S_IFSOCK: (errno.EINVAL, "Is a socket, no file"),
    stat.S_IFCHR: (errno.EINVAL, "Is a device, no file"),
    stat.S_IFBLK: (errno.EINVAL, "Is a device, no file"),
}


def local_size(path: str | Path, most: int = MOST_EXAMPLE_BYTES) -> int:
    """The size in bytes of the file of this machine at `path`, which is not opened.

    Raises:
        OSError: It is not there, is none that can be read to its end, such as a pipe or a device,
            or holds more than `most`.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
    except ValueError as error:
        raise OSError(errno.EINVAL, "Its path holds characters that no path has") from error
    sort = SORTS.get(stat.S_IFMT(status.st_mode))
    if sort is not None:
        raise OSError(*sort, str(path))
    refuse_size(status.st_size, most, path)
    return status.st_size


def refuse_size(size: int, most: int, path: str | Path) -> None:
    """Raises OSError of a file of more than `most` bytes."""
    if size > most:
        problem = f"Has {in_words(size)}, expected up to {in_words(most)}"
        raise OSError(errno.EFBIG, problem, str(path))


def local_fault(path: str, most: int = MOST_EXAMPLE_BYTES) -> str | None:
    """The reason why the file of this machine at `path` cannot be read, or None."""
    try:
        local_size(path, most)
    except OSError as error:
        return str(error.strerror)
    return None


def local_bytes(path: str | Path, most: int = MOST_EXAMPLE_BYTES) -> bytes:
    """Returns the content of the file of this machine at `path`.

    Raises:
        OSError: As `local_size`, or it may not be read.
    """
    size = local_size(path, most)
    with Path(path).open("rb") as file:
        return file.read(size)  # no more: the files in /proc say 0 and may have no end


def read_bytes(path: str, where: str, most: int = MOST_EXAMPLE_BYTES) -> bytes:
    """Returns the content of the file at `path`; `where` names it in a message.

    Raises:
        DataError: It cannot be read, or holds more than `most` bytes.
    """
    if is_remote(path):
        require_reader(path, where)
    try:
        return content_of(path, most)
    except OSError as error:
        raise DataError(
            where=f"{where} {path!r}",
            problem=f"cannot be read: {error.strerror or one_line(error)}",
            fix="Give a file that you may read; a relative path starts from the working directory",
        ) from error


def content_of(path: str, most: int = MOST_EXAMPLE_BYTES) -> bytes:
    """Returns the content of the file at `path`, which may be a URL; or raises OSError."""
    return remote_bytes(path, most) if is_remote(path) else local_bytes(path, most)


def remote_bytes(path: str, most: int) -> bytes:
    """Returns the content of the file at a URL, or raises OSError, as of more than `most` bytes."""
    import tensorflow as tf

    try:
        refuse_size(int(tf.io.gfile.stat(path).length), most, path)
        with tf.io.gfile.GFile(path, "rb") as file:
            return bytes(file.read())
    except tf.errors.OpError as error:
        raise OSError(reason(error)) from error


def reason(error: tf.errors.OpError) -> str:
    """The reason why TensorFlow could not read a file; some systems leave it empty."""
    import tensorflow as tf

    missing = isinstance(error, tf.errors.NotFoundError)
    return " ".join(error.message.split()) or (
        "there is no such file" if missing else type(error).__name__
    )


def read_text(path: str, where: str) -> str:
    """Returns the text of the file at `path`, UTF-8 with or without a mark of that.

    Raises:
        DataError: It cannot be read, is no text, or is longer than any table.
    """
    try:
        return read_bytes(path, where, MOST_TABLE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            where=f"{where} {path!r}",
            problem=f"is no text in UTF-8: its byte {error.start} is {error.object[error.start]}",
            fix='Save it as UTF-8, which Excel calls "CSV UTF-8"',
        ) from error


def csv_reader(lines: Iterable[str], delimiter: str = ",", strict: bool = False) -> Any:
    """Returns a `csv.reader` of cells of any length; Python would refuse 131,073 characters."""
    csv.field_size_limit(MOST_TABLE_BYTES)
    return csv.reader(lines, delimiter=delimiter, strict=strict)


def is_file(path: str) -> bool:
    """Says whether there is a file at `path`, which may be a URL."""
    if not is_remote(path):
        return os.path.isfile(path)  # noqa: PTH113
    import tensorflow as tf

    try:
        return not tf.io.gfile.stat(path).is_directory
    except tf.errors.OpError:
        return False


def is_folder(path: str) -> bool:
    """Says whether there is a folder at `path`, which may be a URL."""
    if not is_remote(path):
        return os.path.isdir(path)  # noqa: PTH112
    import tensorflow as tf

    try:
        return bool(tf.io.gfile.isdir(path))
    except tf.errors.OpError:  # such as of a kind of URL that TensorFlow does not know
        return False


def join(folder: str, name: str) -> str:
    """Returns the path of `name` in a `folder`, which may be a URL."""
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else os.path.join(folder, name)  # noqa: PTH118


def read_part(path: str, offset: int, length: int) -> bytes:
    """Returns `length` bytes of the file at `path` from `offset` on, or fewer at its end."""
    if not is_remote(path):
        with Path(path).open("rb", buffering=0) as local:
            local.seek(offset)
            return local.read(length) or b""
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "rb") as remote:
        remote.seek(offset)
        return bytes(remote.read(length))
