"""Finds the examples that a person names to have them predicted: files, folders, tables, arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING, Any, cast

from kft.errors import DataError
from kft.input import Input
from kft.messages import natural, printable
from kft.progress import say
from kft.settings.catalog import CATALOG, USUAL_INPUT
from kft.settings.component import find_component
from kft.sources.folders.folder_notes import count_endings
from kft.sources.folders.listing import TABLES, list_below
from kft.sources.table_file import Fault, Row, Rows, read_table
from kft.sources.tables.table_content import ContentColumn
from kft.sources.tables.table_files import file_in
from kft.sources.tables.table_paths import path_column, template_of
from kft.storage.files import content_of, is_folder, is_remote, join

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """An example of which nobody knows the label.

    Attributes:
        name: What a person calls it, such as the path of its file.
        file: The path of its file; None if the example is `held`.
        held: The example itself.
        folder: The folder that it lies in, from the folder that was named, such as ``cats``; None
            if none was, or if it lies directly there.
    """

    name: str
    file: str | None = None
    held: Any = None
    folder: str | None = None

    def raw(self) -> bytes | str | np.ndarray:
        """Returns the content of its file, or the example itself.

        Raises:
            OSError: Its file cannot be read.
        """
        if self.file is None:
            return cast("np.ndarray", self.held)
        return content_of(self.file)


@dataclass(frozen=True, slots=True)
class Unread:
    """An example that has no prediction.

    Attributes:
        reason: Why it has none.
    """

    name: str
    reason: str


Found = Iterator[Unlabelled | Unread]


class Finder:
    """Finds examples where a person says, as a run reads its own.

    Attributes:
        data: The ``data`` section of the run's config; empty if there is no run.
        column: The column of a table that names the files, or holds the examples; None for that
            of the run's own table, or if it has none, for the one whose cells name files.
    """

    def __init__(self, data: Mapping[str, Any], column: str | None = None) -> None:
        self._data = data
        self._column = column
        self._inputs = inputs_of(data)
        self._endings = endings_of(self._inputs)

    def find(self, place: str | Path) -> Found:
        """Yields the examples at `place`: a file, folder, table, or pattern such as ``new/*.jpg``.

        A folder gives all files below it that the run's input reads, in the order in which people
        count: ``2.jpg`` before ``10.jpg``.

        Raises:
            DataError: A table cannot be read, or does not say which column to take.
        """
        path = str(place)
        if self._is_table(path):
            yield from self._in_table(path)
        elif is_folder(path):
            yield from self._in_folder(path)
        elif has_magic(path) and not is_remote(path) and not os.path.lexists(path):
            yield from self._matching(path)
        else:
            yield Unlabelled(path, path)

    def served(self, example: Unlabelled) -> Any:
        """Returns what a served model takes of an `example`, its file converted if it is to be.

        Raises:
            OSError: Its file cannot be read.
            ValueError: Its file cannot be converted.
        """
        raw = example.raw()
        for each in self._inputs:
            raw = each.convert(raw) if isinstance(raw, bytes) else raw
        return raw

    def _is_table(self, path: str) -> bool:
        """Says whether the file at `path` is a table rather than an example itself.

        Files of an input of the user's, whose endings are not known here, are examples.
        """
        if not path.lower().endswith(TABLES) or is_folder(path):
            return False
        if self._column is not None or self._data.get("kind") == "table":
            return True
        return bool(self._endings) and not path.lower().endswith(self._endings)

    def _matching(self, pattern: str) -> Found:
        """Yields the examples at each place that matches a `pattern`."""
        places = sorted(glob(pattern, recursive=True), key=natural)  # noqa: PTH207
        if not places:
            yield Unread(pattern, "No file matches it")
        for place in places:
            if not ("**" in pattern and is_folder(place)):  # its files match by themselves
                yield from self.find(place)

    def _in_folder(self, folder: str) -> Found:
        """Yields the examples below a `folder`, and says what else lies there."""
        try:
            listed = list_below(folder).files
        except DataError as error:
            yield Unread(folder, error.problem)
            return
        endings = self._endings or ("",)
        files = [file for file in listed if file.lower().endswith(endings)]
        others = [file for file in listed if not file.lower().endswith(endings)]
        if not files:
            held = f"only {count_endings(others)}" if others else "no files"
            yield Unread(folder, f"Holds {held}; the model reads {', '.join(self._endings)}")
        elif others:
            say(
                f"note: {folder}: passes over what the model does not read: {count_endings(others)}"
            )
        for file in sorted(files, key=natural):
            path = join(folder, file)
            # One text for all files of a folder, of which there may be many.
            yield Unlabelled(path, path, folder=intern(file.rpartition("/")[0]) or None)

    def _in_table(self, path: str) -> Found:
        """Yields the example of each line of the table at `path`."""
        try:
            rows = read_table(path, verbatim=self._content_column)
            column = self._column or self._content_column or self._path_column(rows, path)
            rows.require([column])
            template = self._template(rows, path, column)
        except DataError as error:  # that names data.path, since tables of runs are there
            fix = "Say which has them, or whole paths: --column NAME, in Python column='NAME'"
            fix = fix if "column" in error.problem else error.fix
            raise DataError(path, error.problem, fix) from error
        if self._content_column:
            yield from self._held(rows, column)
            return
        for row in rows.rows:
            yield example_in(row, column, path, template)

    @property
    def _content_column(self) -> str | None:
        """The column that holds the examples themselves, as in the table of the run."""
        own = self._data.get("input_column") if self._data.get("kind") == "table" else None
        return (self._column or str(own)) if own else None

    def _path_column(self, rows: Rows, path: str) -> str:
        """The column that names the files of a table, as in that of the run if there is one."""
        if self._data.get("kind") == "table":
            return str(self._data.get("path_column", "path"))
        if len(rows.columns) == 1:
            return rows.columns[0]
        columns = [name for name in rows.columns if name]
        return path_column(rows, path, columns, endings=self._endings)[0]

    def _template(self, rows: Rows, path: str, column: str) -> str | None:
        """What the paths in a `column` are made of, as in the table of the run if there is one."""
        if self._data.get("kind") == "table":
            return self._data.get("path_template")
        return template_of(rows, path, column, self._endings)

    def _held(self, rows: Rows, column: str) -> Found:
        """Yields the examples that the `rows` of a table hold, by the names that the run's have."""
        name_column = self._data.get("name_column")
        faults: list[Fault] = []
        if name_column not in rows.columns:
            name_column = None
        content = ContentColumn.of(rows, column, name_column, faults)
        rows.refuse(faults)
        for name, example in zip(content.names, content.content, strict=True):
            yield Unlabelled(name, held=example)


def example_in(row: Row, column: str, table: str, template: str | None) -> Unlabelled | Unread:
    """The example whose file a `row` of a `table` names in `column`, put into a `template`."""
    try:
        file = file_in(row.cells.get(column), table, template)
    except ValueError as error:
        return Unread(f"{table}, line {row.line}", f"{column!r} {error}")
    return Unlabelled(printable(file), file)


def inputs_of(data: Mapping[str, Any]) -> list[type[Input]]:
    """The built-in inputs that may read the examples of a run with these `data` settings.

    None, if an input of the user's reads them: its code is not run for that. All, without settings.
    """
    kinds = [*CATALOG["input"]]
    if data:
        kind = (data.get("input") or {}).get("kind", USUAL_INPUT)
        kinds = [kind] if kind in CATALOG["input"] else []
    return [cast("type[Input]", find_component("input", kind, None)) for kind in kinds]


def endings_of(inputs: Iterable[type[Input]]) -> tuple[str, ...]:
    """The endings of the files that `inputs` read; empty for any."""
    each = (ending for i in inputs for ending in (*i.file_endings, *i.converted_endings))
    return tuple(dict.fromkeys(each))
