"""Finds the column of a table that names files, and suggests one where none does."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kft.errors import DataError
from kft.messages import quoted
from kft.sources.folders.listing import near_miss
from kft.sources.labels.cell_parsers import is_number
from kft.sources.table_file import Rows
from kft.sources.tables.table_files import file_of, folder_of
from kft.storage.files import is_file, is_remote, join

# Cells of a column, columns, and folders beside the table.
LOOKED_AT = 20
# Cells of all columns together.
MOST_LOOKED_AT = 40_000


def column_of_files(rows: Rows, path: str, columns: Sequence[str]) -> str:
    """Returns the only one of `columns` of which half of the cells name files, or ``path``."""
    looked_at = max(2, min(LOOKED_AT, MOST_LOOKED_AT // max(1, len(columns))))
    step = max(1, len(rows.rows) // looked_at)
    texts = {
        name: [str(cell) for cell in rows.cells(name)[::step] if is_text(cell)] for name in columns
    }
    # The cells of many columns may be the same.
    names_file = functools.cache(lambda cell: is_file(file_of(path, cell)))
    found = [
        name
        for name, cells in texts.items()
        if 2 * sum(map(names_file, cells)) >= max(1, len(cells))
    ]
    if headless := [name for name in found if names_file(name)]:
        raise DataError(
            rows.where,
            f"has no line of column names: its first is about the file {headless[0]!r}",
            "Write a line of column names above it, such as path,class",
        )
    if len(found) == 1:
        return found[0]
    if "path" in found:
        return "path"
    if found:
        raise DataError(
            rows.where,
            f"has several columns that name files: {quoted(found)}",
            f"Say which: name the column, such as --set data.path_column={found[0]}",
        )
    raise no_files(rows, path, texts)


def is_text(cell: Any) -> bool:
    """Says whether `cell` could name a file: by a text, or in JSON by a whole number."""
    return isinstance(cell, str | int) and not isinstance(cell, bool) and cell != ""


def no_files(rows: Rows, path: str, texts: Mapping[str, Sequence[str]]) -> DataError:
    """Returns the error for a table at `path` without a column of files.

    `texts` are cells of its columns. A column is only proposed if its cells look like paths.
    """
    problem = "has no column whose cells name files"
    files_in = functools.cache(lambda folder: files_by_stem(folder, path))
    ended = {name: with_endings(path, texts[name], files_in) for name in [*texts][:LOOKED_AT]}
    column = max(ended, key=lambda name: len(ended[name]), default="")
    if column and 2 * len(ended[column]) >= len({*texts[column]}):
        cell, file = next(iter(ended[column].items()))
        return DataError(
            rows.where,
            f"{problem}: those of {column!r} have no ending, such as {cell!r}, and the file there "
            f"is called {file!r}",
            f"Write the names of the files into {column!r} as they are, such as {file!r}",
        )
    column = max(texts, key=lambda name: looks_like_files(texts[name]), default="")
    if not column or not looks_like_files(texts[column]):
        fix = "Write the path of each file into one, from the folder of the table on; or if one "
        fix += "holds the examples themselves, name it, such as --set data.input_column=text"
        return DataError(rows.where, f"{problem}, of {quoted([*texts]) or 'none'}", fix)
    cell = texts[column][0]
    file = file_of(path, cell)
    missing = f"there is no {file!r}" if is_remote(file) else near_miss(file)
    return DataError(
        rows.where,
        f"{problem}: {column!r} says {cell!r}, and {missing}",
        "Write paths that start from the folder of the table, or name the column, such as "
        f"--set data.path_column={column}",
    )


def with_endings(
    table: str, cells: Sequence[str], files_in: Callable[[str], Mapping[str, str]]
) -> dict[str, str]:
    """Returns the file that each of `cells` names but for its ending, if there is one.

    It lies where the cell says, or in a folder beside the `table`. `files_in` gives the files of
    a folder as `files_by_stem` does.
    """
    base = folder_of(table)
    folders = [name for name in names_in(base) if os.path.isdir(join(base, name))]  # noqa: PTH112
    beside = ["", *(f"{name}/" for name in folders[:LOOKED_AT])]
    found: dict[str, str] = {}
    for cell in cells:
        folder, slash, stem = cell.replace("\\", "/").rpartition("/")
        for inner in beside:
            if name := files_in(join(base, f"{inner}{folder}")).get(stem):
                found.setdefault(cell, f"{inner}{folder}{slash}{name}")
    return found


def files_by_stem(folder: str, table: str) -> dict[str, str]:
    """Returns the first file in a `folder` by each name without its ending, but for the `table`."""
    names = [name for name in names_in(folder) if "." in name and join(folder, name) != table]
    return {name.rpartition(".")[0]: name for name in reversed(names)}


def names_in(folder: str) -> list[str]:
    """Returns the names in a `folder` of this machine, sorted; none if it cannot be listed."""
    try:
        return [] if is_remote(folder) else sorted(os.listdir(folder))  # noqa: PTH208
    except (OSError, ValueError):  # a ValueError if its name holds NUL
        return []


def looks_like_files(cells: Sequence[str]) -> int:
    """A score of how much the first of `cells` looks like the path of a file."""
    if not cells or is_number(cells[0]):
        return 0
    has_ending = re.search(r"\.\w{2,5}$", cells[0]) is not None
    return has_ending + any(mark in cells[0] for mark in "/\\")
