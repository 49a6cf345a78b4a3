"""Files of this machine, or of another system that TensorFlow's gfile reads, such as gs://…."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kft.errors import DataError, one_line

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


def read_bytes(path: str, where: str) -> bytes:
    """Returns the content of the file at `path`; `where` names it in a message.

    Raises:
        DataError: It cannot be read.
    """
    if is_remote(path):
        require_reader(path, where)
    try:
        return read_remote(path) if is_remote(path) else Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            where=f"{where} {path!r}",
            problem=f"cannot be read: {error.strerror or one_line(error)}",
            fix="Give a file that you may read; a relative path starts from the working directory",
        ) from error


def read_remote(path: str) -> bytes:
    """Returns the content of the file at a URL, or raises OSError."""
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return bytes(file.read())
    except tf.errors.OpError as error:
        raise OSError(reason(error)) from error


def reason(error: tf.errors.OpError) -> str:
    """Returns why TensorFlow could not read a file; some systems leave it empty."""
    import tensorflow as tf

    missing = isinstance(error, tf.errors.NotFoundError)
    return " ".join(error.message.split()) or (
        "there is no such file" if missing else type(error).__name__
    )


def read_text(path: str, where: str) -> str:
    """Returns the text of the file at `path`, UTF-8 with or without a mark of that.

    Raises:
        DataError: It cannot be read, or is no text.
    """
    try:
        return read_bytes(path, where).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            where=f"{where} {path!r}",
            problem=f"is no text in UTF-8: its byte {error.start} is {error.object[error.start]}",
            fix='Save it as UTF-8, which Excel calls "CSV UTF-8"',
        ) from error


def is_file(path: str) -> bool:
    """Says whether there is a file at `path`, which may be a URL."""
    if not is_remote(path):
        return os.path.isfile(path)  # noqa: PTH113
    import tensorflow as tf

    try:
        return not tf.io.gfile.stat(path).is_directory
    except tf.errors.OpError:
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
