"""Atomic writes: a file is there whole or not at all, whenever the process is killed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = "partial-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the path of a file or folder to write, which takes the place of `path` in the end.

    It lies beside `path`, and its name ends alike, since libraries tell a format by that.
    """
    partial = path.with_name(PARTIAL + path.name)
    remove(partial)
    try:
        yield partial
        sync(partial)
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
    except BaseException:
        remove(partial)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text as UTF-8."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Writes `value` so that a person can read it."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def remove(path: Path) -> None:
    """Removes a file or link, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Has a file or folder written to the disk: a machine may lose its power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
