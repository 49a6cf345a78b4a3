"""A table of files with what is known of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self
from unicodedata import normalize

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from kft.data import DataSource, Split, Splits, Target
from kft.errors import DataError
from kft.messages import counted, natural, printable, quoted
from kft.settings.component import AbsolutePath, repeated
from kft.sources.folders.listing import near_miss
from kft.sources.labels.cell_parsers import group_in, split_in, text_in, weight_in
from kft.sources.labels.label_columns import (
    LabelColumns,
    class_in,
    labels_flagged,
    labels_listed,
    values_in,
)
from kft.sources.names import known_as
from kft.sources.py_fetch import fetch_files
from kft.sources.splitting.split_assignment import Examples, divide
from kft.sources.splitting.split_rule import SplitRule
from kft.sources.table_file import Fault, Rows, read_table
from kft.storage.files import is_remote, join, require_reader

if TYPE_CHECKING:
    import numpy as np

Column = Annotated[str, Field(min_length=1)]


class Table(DataSource):
    """A CSV file, or JSON lines (``.jsonl``, ``.ndjson``, ``.json``), with a line for each file.

    One of `class_column`, `label_columns` and `value_columns` says what is predicted. CSV begins
    with a line of column names and is UTF-8; if that line has no comma, semicolons or tabs divide
    it. The table, or what it names, may be a URL that TensorFlow reads, such as ``gs://…``.

    Attributes:
        path: Of the table.
        path_column: The paths of the files; relative ones start from the folder of the table.
        class_column: The class of each: one out of several.
        label_columns: Any number of labels: the column that lists them, divided by `separator`
            or, in JSON, as a list; or a list of columns, each a label, that hold 0 or 1.
        value_columns: Numbers, a column for each value to predict.
        separator: Between the labels of one column.
        split_column: ``train``, ``validation``, ``test`` or another word for them.
        group_column: What belongs together, such as the patient: it is never on two sides. An
            empty one belongs to nothing.
        weight_column: How much each counts in the loss, 0 or more; 1 if left out.
        split: How to divide what is not divided yet.
    """

    path: AbsolutePath
    path_column: Column = "path"
    class_column: Column | None = None
    label_columns: Column | tuple[Column, ...] = ()
    value_columns: tuple[Column, ...] = ()
    separator: Column = "|"
    split_column: Column | None = None
    group_column: Column | None = None
    weight_column: Column | None = None
    split: SplitRule = SplitRule()

    @model_validator(mode="after")
    def _predict_one_thing(self) -> Self:
        if sum(map(bool, (self.class_column, self.label_columns, self.value_columns))) != 1:
            raise PydanticCustomError(
                "one_target", "needs one of 'class_column', 'label_columns' and 'value_columns'"
            )
        twice = repeated(self._columns)
        if twice:
            raise PydanticCustomError("twice", f"names the column {twice[0]!r} twice. Correct one")
        return self

    def load(self, seed: int) -> Splits:
        rows = read_table(self.path)
        rows.require(self._columns)
        faults: list[Fault] = []
        files = self._files(rows, faults)
        predicted = self._predicted(rows, faults)
        weights = rows.read_if_named(self.weight_column, weight_in, faults)
        examples = Examples(
            where=rows.where,
            names=[self._name(file) for file in files],
            files=files,
            labels=predicted.shown,
            groups=rows.read_if_named(self.group_column, group_in, faults),
            given=rows.read_if_named(self.split_column, split_in(self.split), faults),
        )
        rows.refuse(faults)
        self._refuse_missing(rows, files)
        division = divide(examples, self.split, seed)
        trained = division.chosen == "train"
        target = predicted.target(rows.where, trained)
        whole = self._split(files, predicted.labels(target.names), weights)
        splits = division.splits(whole, target, self.input, predicted.notes(trained))
        if splits.train.weights is not None and not splits.train.weights.any():
            raise DataError(rows.where, "gives every training example a weight of 0", "Raise some")
        return splits

    def whole(self, target: Target) -> Split:
        """Returns all files as one split, to score a model that knows `target`.

        Raises:
            DataError: A class or label is none of its names, or the table is wrong.
        """
        rows = read_table(self.path)
        rows.require((self.path_column, *self._target_columns))
        faults: list[Fault] = []
        files, predicted = self._files(rows, faults), self._predicted(rows, faults)
        rows.refuse(faults)
        self._refuse_missing(rows, files)
        there = {name for shown in predicted.shown for name in shown}
        known = known_as(there, target.names)
        strays = there - {*known}
        if strays:
            raise DataError(
                rows.where,
                f"has {quoted(sorted(strays, key=natural))}, which the model does not know",
                f"Name them as the model does: {quoted(target.names)}",
            )
        return self._split(files, predicted.renamed(known).labels(target.names), None)

    @property
    def _target_columns(self) -> tuple[str, ...]:
        if self.class_column:
            return (self.class_column,)
        if isinstance(self.label_columns, str):
            return (self.label_columns,)
        return self.label_columns or self.value_columns

    @property
    def _columns(self) -> tuple[str, ...]:
        others = (self.path_column, self.split_column, self.group_column, self.weight_column)
        return (*self._target_columns, *(name for name in others if name))

    def _predicted(self, rows: Rows, faults: list[Fault]) -> LabelColumns:
        if self.class_column:
            return class_in(rows, self.class_column, faults)
        if isinstance(self.label_columns, str):
            return labels_listed(rows, self.label_columns, self.separator, faults)
        if self.label_columns:
            return labels_flagged(rows, self.label_columns, faults)
        return values_in(rows, self.value_columns, faults)

    def _files(self, rows: Rows, faults: list[Fault]) -> list[str]:
        """Returns the path of each file, and adds those that are named twice to `faults`."""
        lines: dict[str, int] = {}

        def file_in(cell: Any) -> str:
            return file_of(self.path, text_in(cell))

        files = rows.read(self.path_column, file_in, faults)
        if len(files) < len(rows.rows):
            return files
        for row, file in zip(rows.rows, files, strict=True):
            first = lines.setdefault(file, row.line)
            if first != row.line:
                problem = f"{self.path_column!r} is {self._name(file)!r}, as in line {first}"
                faults.append(Fault(row.line, problem))
        return files

    def _name(self, file: str) -> str:
        """Returns what a person calls `file`: its path from the table's folder.

        It may lead out of there; only a URL, or another drive, has no such path.
        """
        folder = folder_of(self.path)
        name = file.removeprefix(join(folder, ""))
        if os.path.isabs(name) and os.path.splitdrive(name)[0] == os.path.splitdrive(folder)[0]:  # noqa: PTH117, PTH122
            name = os.path.relpath(name, folder)
        return printable(name.replace(os.sep, "/"))

    def _refuse_missing(self, rows: Rows, files: Sequence[str]) -> None:
        """Refuses files that are not there; at a URL, reading them shows it."""
        if self.on_bad_input == "skip":
            return
        gone = [file for file in files if not is_remote(file) and not os.path.isfile(file)]  # noqa: PTH113
        if gone:
            raise DataError(
                rows.where,
                f"names {counted(len(gone), 'file')} not there, of {len(files)}: "
                f"{quoted([self._name(file) for file in gone])}. {near_miss(gone[0])}",
                "Correct their paths, which start from the folder of the table, or set "
                'data.on_bad_input to "skip"',
            )

    def _split(
        self, files: Sequence[str], labels: np.ndarray, weights: Sequence[float] | None
    ) -> Split:
        import numpy as np

        for file in files:
            if is_remote(file):
                require_reader(file, self.path_column)
        return Split(
            names=[self._name(file) for file in files],
            labels=labels,
            fetch=fetch_files(files),
            weights=None if weights is None else np.array(weights, "float32"),
            files=files,
        )


def file_of(table: str, name: str) -> str:
    """Returns the path of the file that the table at the path `table` calls `name`.

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
    """Returns the folder that a file lies in, which may be a URL."""
    return path.rpartition("/")[0] if is_remote(path) else os.path.dirname(path)  # noqa: PTH120


def clean(path: str) -> str:
    """Returns `path` without steps that lead nowhere, such as ``./``; a URL stays."""
    return path if is_remote(path) else os.path.normpath(path)
