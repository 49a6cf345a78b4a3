"""Finds how the paths of files are made of what a column of a table holds, such as numbers."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from kft.sources.tables.table_files import PLACE, folder_of
from kft.storage.files import is_file, is_remote, join

# Folders beside the table, and as many beside its own folder.
LOOKED_AT = 20
# The share of cells that name files by one template, from which on it is that of the column.
MOST = 0.8
BESIDE = "../"


def templates_by_column(
    table: str, texts: Mapping[str, Sequence[str]], endings: tuple[str, ...]
) -> dict[str, Counter[str]]:
    """Returns the templates by which cells of each column name files near the `table`.

    Each with the number of cells, of those in `texts`. The files have one of the `endings`; any, if
    there are none.
    """
    folders = [*folders_near(table)]
    # The cells of many columns may be the same.
    files_in = functools.cache(lambda folder: files_by_stem(folder, table, endings))
    return {
        name: Counter(
            each for cell in {*cells} for each in templates_of(table, cell, folders, files_in)
        )
        for name, cells in [*texts.items()][:LOOKED_AT]
    }


def fitting(found: Counter[str], cells: Sequence[str]) -> list[str]:
    """The templates in `found` by which nearly all `cells` name files, each another.

    Those of files beside the folder of the table only if none lie in it.
    """
    if len({*cells}) < len(cells):
        return []
    fits = [template for template, count in found.items() if count >= MOST * len(cells)]
    return [template for template in fits if not template.startswith(BESIDE)] or fits


def templates_of(
    table: str,
    cell: str,
    folders: Sequence[str],
    files_in: Callable[[str], Mapping[str, Sequence[str]]],
) -> Iterator[str]:
    """Yields each template by which `cell` names a file in one of `folders`, or below it."""
    above, slash, stem = cell.replace("\\", "/").rpartition("/")
    for folder in folders:
        inner = f"{folder}{above}{slash}"
        if folder and is_file(join(folder_of(table), f"{inner}{stem}")):
            yield f"{folder}{PLACE}"
        for name in files_in(join(folder_of(table), inner)).get(stem, ()):
            yield f"{folder}{PLACE}{name.removeprefix(stem)}"


def folders_near(table: str) -> Iterator[str]:
    """Yields the folder of the `table`, those in it and those beside it, from there on."""
    base = folder_of(table)
    yield ""
    for step in ("", BESIDE):
        beside = [f"{step}{name}/" for name in names_in(join(base, step))]
        yield from [name for name in beside if os.path.isdir(join(base, name))][:LOOKED_AT]  # noqa: PTH112


def files_by_stem(folder: str, table: str, endings: tuple[str, ...]) -> dict[str, list[str]]:
    """Returns the files in a `folder` by their names without ending, but for the `table`."""
    found: dict[str, list[str]] = {}
    for name in names_in(folder):
        is_one = name.lower().endswith(endings) if endings else "." in name
        if is_one and join(folder, name) != table:
            found.setdefault(name.rpartition(".")[0], []).append(name)
    return found


def names_in(folder: str) -> list[str]:
    """Returns the names in a `folder` of this machine, sorted; none if it cannot be listed."""
    try:
        return [] if is_remote(folder) else sorted(os.listdir(folder))  # noqa: PTH208
    except (OSError, ValueError):  # a ValueError if its name holds NUL
        return []
