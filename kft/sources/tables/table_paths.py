"""Finds the column of a table that names files, and how it does so."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kft.errors import DataError
from kft.messages import quoted
from kft.sources.folders.listing import near_miss
from kft.sources.labels.cell_parsers import is_number
from kft.sources.table_file import Rows
from kft.sources.tables.path_templates import fitting, templates_by_column
from kft.sources.tables.table_files import file_of, put
from kft.storage.files import is_file, is_remote

# Cells of a column.
LOOKED_AT = 20
# Cells of all columns together.
MOST_LOOKED_AT = 40_000


def path_column(
    rows: Rows,
    path: str,
    columns: Sequence[str],
    template: str | None = None,
    endings: tuple[str, ...] = (),
) -> tuple[str, str | None]:
    """Returns the one of `columns` that names files, and what paths are made of, or None.

    The cells of the table at `path` name them as they are, or put into a `template`, which is found
    if it is None; then the files have one of the `endings`.

    Raises:
        DataError: No column does so, or more than one, or in more than one way.
    """
    texts = some_cells(rows, columns)
    fits = ways_to_files(path, texts, template, endings)
    if not fits:
        if template is not None:
            raise no_fit(rows, texts, template)
        raise no_files(rows, path, texts, templates_by_column(path, texts, endings))
    return only_way(rows, path, fits)


def only_way(
    rows: Rows, path: str, fits: Mapping[str, Sequence[str | None]]
) -> tuple[str, str | None]:
    """Returns the only column that `fits`, and the only template by which it does.

    Raises:
        DataError: There are others, or the line of column names is missing.
    """
    refuse_headless(rows, path, fits)
    column = only_column(rows, [*fits])
    if len(fits[column]) > 1:
        raise DataError(
            rows.where,
            f"has a column {column!r} whose cells name files in several ways: "
            f"{quoted([*map(str, fits[column])])}",
            f"Say which: --set data.path_template='{fits[column][0]}'",
        )
    return column, fits[column][0]


def template_of(rows: Rows, path: str, column: str, endings: tuple[str, ...] = ()) -> str | None:
    """Returns what the paths in a `column` are made of; None if it names files as it is, or none.

    Raises:
        DataError: There is more than one way.
    """
    fits = ways_to_files(path, some_cells(rows, [column]), None, endings)
    return only_way(rows, path, fits)[1] if fits else None


def ways_to_files(
    path: str,
    texts: Mapping[str, Sequence[str]],
    template: str | None = None,
    endings: tuple[str, ...] = (),
) -> dict[str, list[str | None]]:
    """Returns the columns that name files, and the templates by which they do, as `path_column`."""
    # The cells of many columns may be the same.
    names_file = functools.cache(lambda cell: is_file(file_of(path, put(cell, template))))
    found: dict[str, list[str | None]] = {
        name: [template]
        for name, cells in texts.items()
        if 2 * sum(map(names_file, cells)) >= max(1, len(cells))
    }
    if found or template is not None:
        return found
    ways = templates_by_column(path, texts, endings)
    return {name: [*fit] for name, way in ways.items() if (fit := fitting(way, texts[name]))}


def refuse_headless(rows: Rows, path: str, fits: Mapping[str, Sequence[str | None]]) -> None:
    """Refuses a table in which the name of a column that `fits` names a file, as its cells do."""
    for name, templates in fits.items():
        if any(is_file(file_of(path, put(name, template))) for template in templates):
            raise DataError(
                rows.where,
                f"has no line of column names: its first is about the file {name!r}",
                "Write a line of column names above it, such as path,class",
            )


def only_column(rows: Rows, names: Sequence[str]) -> str:
    """Returns the only one of the columns `names` that name files, or ``path``.

    Raises:
        DataError: There are others.
    """
    if len(names) == 1:
        return names[0]
    if "path" in names:
        return "path"
    raise DataError(
        rows.where,
        f"has several columns that name files: {quoted(names)}",
        f"Say which: name the column, such as --set data.path_column={names[0]}",
    )


def some_cells(rows: Rows, columns: Sequence[str]) -> dict[str, list[str]]:
    """Returns some cells of each of `columns`, from all over the table."""
    looked_at = max(2, min(LOOKED_AT, MOST_LOOKED_AT // max(1, len(columns))))
    step = max(1, len(rows.rows) // looked_at)
    return {
        name: [str(cell) for cell in rows.cells(name)[::step] if is_text(cell)] for name in columns
    }


def is_text(cell: Any) -> bool:
    """Says whether `cell` could name a file: by a text, or in JSON by a whole number."""
    return isinstance(cell, str | int) and not isinstance(cell, bool) and cell != ""


def no_fit(rows: Rows, columns: Collection[str], template: str) -> DataError:
    """Returns the error for a table of which no column fits the `template` of a config."""
    return DataError(
        rows.where,
        f"has no column whose cells name files by {template!r}, of {quoted([*columns]) or 'none'}",
        "Correct data.path_template, which starts from the folder of the table, or name the "
        "column, such as --set data.path_column=id",
    )


def no_files(
    rows: Rows, path: str, texts: Mapping[str, Sequence[str]], ways: Mapping[str, Counter[str]]
) -> DataError:
    """Returns the error for a table at `path` without a column of files.

    `texts` are cells of its columns, and `ways` templates by which some of them do name files. A
    column is only proposed if its cells look like paths.
    """
    problem = "has no column whose cells name files"
    column = max(ways, key=lambda name: max(ways[name].values(), default=0), default="")
    if column and (way := ways[column].most_common(1)):
        ((template, count),) = way
        if 2 * count >= len(texts[column]):
            return DataError(
                rows.where,
                f"{problem}: of {len(texts[column])} in {column!r} {count} do so by {template!r}",
                f"Write the path of each file into {column!r}, or say --set data.path_column="
                f"{column} --set data.path_template='{template}'",
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


def looks_like_files(cells: Sequence[str]) -> int:
    """A score of how much the first of `cells` looks like the path of a file."""
    if not cells or is_number(cells[0]):
        return 0
    has_ending = re.search(r"\.\w{2,5}$", cells[0]) is not None
    return has_ending + any(mark in cells[0] for mark in "/\\")
