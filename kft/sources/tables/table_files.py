"""The column of a table that names files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from kft.errors import DataError
from kft.input import Input
from kft.messages import counted, printable, quoted
from kft.sources.folders.folder_notes import converted_notes
from kft.sources.folders.listing import near_miss
from kft.sources.labels.cell_parsers import text_in
from kft.sources.py_fetch import fetch_files
from kft.sources.table_file import Fault, Rows
from kft.storage.files import is_remote, join, require_reader

if TYPE_CHECKING:
    import tensorflow as tf

# Where a template of paths takes what a cell holds.
PLACE = "{}"


@dataclass(frozen=True)
class FileColumn:
    """The files that a table names, one in each line.

    Attributes:
        column: The column that names them.
        names: What a person calls them: their paths from the folder of the table.
        files: Their paths.
    """

    column: str
    names: Sequence[str]
    files: Sequence[str]

    @classmethod
    def of(
        cls, rows: Rows, at: str, column: str, template: str | None, faults: list[Fault]
    ) -> FileColumn:
        """The files that `column` of the table `at` a path names; faults are added to `faults`."""
        files = rows.read(column, lambda cell: file_in(cell, at, template), faults)
        names = [name_of(file, at) for file in files]
        rows.add_repeats(column, files, names, faults)
        return cls(column, names, files)

    def fetch(self, input: Input) -> Callable[[tf.Tensor], tf.Tensor]:
        """What gives the content of a file by its number, as every `input` takes it.

        Raises:
            DataError: TensorFlow cannot read URLs of their kind.
        """
        for file in self.files:
            if is_remote(file):
                require_reader(file, self.column)
        return fetch_files(self.files)

    def notes(self, input: Input, kept: Sequence[bool] | None = None) -> Iterator[str]:
        """Yields what a person should know of the files, of those `kept`."""
        return converted_notes([*compress(self.files, kept or repeat(True))], input)

    def refuse_missing(self, rows: Rows, kept: Sequence[bool] | None = None) -> None:
        """Refuses files that are not there, of those `kept`; at a URL, reading them shows it."""
        gone = [
            (name, file)
            for name, file in compress(
                zip(self.names, self.files, strict=True), kept or repeat(True)
            )
            if not is_remote(file) and not os.path.isfile(file)  # noqa: PTH113
        ]
        if gone:
            raise DataError(
                rows.where,
                f"names {counted(len(gone), 'file')} not there, of {len(self.files)}: "
                f"{quoted([name for name, _ in gone])}. {near_miss(gone[0][1])}",
                "Correct their paths or data.path_template, which start from the folder of the "
                'table, or set data.on_bad_input to "skip"',
            )


def put(cell: str, template: str | None) -> str:
    """Returns the path that a `cell` says by itself, or put into the `template`."""
    return cell if template is None else template.replace(PLACE, cell)


def file_in(cell: Any, table: str, template: str | None = None) -> str:
    """The path of the file that a `cell` of the table at the path `table` names.

    `template` is what the cell is put into, as `Table` has it. A ValueError says what is wrong
    with the cell.
    """
    return file_of(table, put(text_in(cell), template))


def name_of(file: str, table: str) -> str:
    """What a person calls a `file` of the `table`: its path from the table's folder.

    It may lead out of there; only a URL, or another drive, has no such path.
    """
    folder = folder_of(table)
    name = file.removeprefix(join(folder, ""))
    if os.path.isabs(name) and os.path.splitdrive(name)[0] == os.path.splitdrive(folder)[0]:  # noqa: PTH117, PTH122
        name = os.path.relpath(name, folder)
    return printable(name.replace(os.sep, "/"))


def file_of(table: str, name: str) -> str:
    """The path of the file that the table at the path `table` calls `name`.

    Windows may have put backslashes into it, and macOS its letters and accents apart.
    """
    if is_remote(name):
        return name
    file = clean(join(folder_of(table), name.replace("\\", "/")))
    if is_remote(file) or file.isascii() or os.path.isfile(file):  # noqa: PTH113
        return file
    forms = [normalize(form, file) for form in ("NFC", "NFD")]
    return next((form for form in forms if os.path.isfile(form)), file)  # noqa: PTH113


def folder_of(path: str) -> str:
    """The folder that a file lies in, which may be a URL."""
    return path.rpartition("/")[0] if is_remote(path) else os.path.dirname(path)  # noqa: PTH120


def clean(path: str) -> str:
    """`path` without steps that lead nowhere, such as ``./``; a URL stays."""
    return path if is_remote(path) else os.path.normpath(path)
