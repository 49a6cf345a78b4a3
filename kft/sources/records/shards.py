"""Finds the files that a pattern names, and checks that no shard is missing."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Sequence

from kft.errors import DataError
from kft.messages import natural, quoted
from kft.storage.files import is_remote, local_fault, require_reader

NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})(.*)")


def find_shards(pattern: str, where: str) -> dict[str, str]:
    """Returns the paths of the files that `pattern` names, by what the pattern leaves open of them.

    Raises:
        DataError: There are none, or a shard ``…-00001-of-00010`` is missing among them.
    """
    files = glob_remote(pattern, where) if is_remote(pattern) else glob.glob(pattern)  # noqa: PTH207
    files = [file for file in files if not os.path.isdir(file)]  # noqa: PTH112
    for file in files:
        refuse_unread(file, where)
    if not files:
        inside = os.path.isdir(pattern)  # noqa: PTH112
        raise DataError(
            where=f"{where} {pattern!r}",
            problem="is a folder, expected files" if inside else "names no file",
            fix="Give a pattern such as …/*.tfrecord; a relative one starts from the working "
            "directory",
        )
    refuse_gaps(files, f"{where} {pattern!r}")
    open_from = len(re.split(r"[*?\[]", pattern)[0].rpartition("/")[0]) + 1
    return {file[open_from:]: file for file in sorted(files, key=natural)}


def refuse_unread(file: str, where: str) -> None:
    """Raises DataError if a `file` of this machine is none that can be read, such as a pipe."""
    fault = None if is_remote(file) else local_fault(file, sys.maxsize)
    if fault is not None:
        fix = "Move it elsewhere, or give a pattern that does not match it"
        raise DataError(f"{where} {file!r}", f"cannot be read: {fault}", fix)


def glob_remote(pattern: str, where: str) -> list[str]:
    """Returns the files at a URL."""
    import tensorflow as tf

    require_reader(pattern, where)
    try:
        return [str(file) for file in tf.io.gfile.glob(pattern)]
    except tf.errors.NotFoundError:
        return []


def refuse_gaps(files: Sequence[str], where: str) -> None:
    """Refuses `files` named ``…-00001-of-00010`` if some of those ten are not there."""
    series: dict[tuple[str, str, str], set[int]] = {}
    for match in filter(None, map(NUMBERED.fullmatch, files)):
        stem, number, of, end = match.groups()
        series.setdefault((stem, of, end), set()).add(int(number))
    missing = [
        f"{stem}-{number:05}-of-{of}{end}"
        for (stem, of, end), there in series.items()
        for number in range(int(of))
        if number not in there
    ]
    if missing:
        fix = "Add the missing files, or rename those of a smaller set"
        raise DataError(where, f"lacks the shards {quoted(missing, 3)}", fix)
