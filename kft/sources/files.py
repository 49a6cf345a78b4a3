"""Files of this machine, or of another system that TensorFlow's gfile reads, such as gs://…."""

from __future__ import annotations

import os
from pathlib import Path

from kft.errors import DataError, one_line


def is_remote(path: str) -> bool:
    """Says whether `path` is a URL, which only TensorFlow can read."""
    return "://" in path


def read_bytes(path: str, where: str) -> bytes:
    """Returns the content of the file at `path`; `where` names it in a message.

    Raises:
        DataError: It cannot be read.
    """
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
    except tf.errors.NotFoundError as error:
        raise OSError(f"there is no such file{error.message and ': '}{error.message}") from error
    except tf.errors.OpError as error:
        raise OSError(error.message or type(error).__name__) from error


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
            fix="Save it as UTF-8",
        ) from error


def join(folder: str, name: str) -> str:
    """Returns the path of `name` in a `folder`, which may be a URL."""
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else os.path.join(folder, name)  # noqa: PTH118
