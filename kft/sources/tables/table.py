"""A table of examples with what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from kft.data import Split, Splits, Target
from kft.errors import DataError
from kft.settings.component import AbsolutePath, repeated
from kft.sources.labels.cell_parsers import group_in, split_in, weight_in
from kft.sources.labels.classes import ClassSource
from kft.sources.labels.label_columns import (
    LabelColumns,
    class_in,
    labels_flagged,
    labels_listed,
    values_in,
)
from kft.sources.splitting.split_assignment import Examples, divide
from kft.sources.splitting.split_rule import SplitRule
from kft.sources.table_file import Fault, Rows, read_table
from kft.sources.tables.table_content import ContentColumn
from kft.sources.tables.table_files import PLACE, FileColumn

Column = Annotated[str, Field(min_length=1)]


def with_place(template: str) -> str:
    """Returns `template` if it has a place for a cell, or a fault that pydantic reports."""
    if PLACE not in template:
        raise PydanticCustomError("template", f"has no {PLACE}, which stands for the cell. Add it")
    return template


PathTemplate = Annotated[str, AfterValidator(with_place)]


class Table(ClassSource):
    """A CSV file, or JSON lines (``.jsonl``, ``.ndjson``, ``.json``), with a line for each example.

    A line names the file of the example (`path_column`), or holds the example (`input_column`). One
    of `class_column`, `label_columns` and `value_columns` says what is predicted. CSV begins with a
    line of column names and is UTF-8; if that line has no comma, semicolons or tabs divide it. The
    table, or what it names, may be a URL that TensorFlow reads, such as ``gs://…``.

    Attributes:
        path: Of the table.
        path_column: The paths of the files; relative ones start from the folder of the table.
        path_template: What the paths are made of, if the column holds but a part of them, such as a
            number: ``images/{}.jpg``, where ``{}`` stands for the cell as it is written.
        input_column: In place of `path_column`: the examples themselves, such as texts. In JSON
            lines also numbers, or lists of them of one shape.
        name_column: What to call the examples of `input_column`, each by a name of its own. Left
            out, by 16 digits of a hash of the content, with ``-2`` for the second of the same.
        class_column: The class of each: one out of several.
        label_columns: Any number of labels: the column that lists them, divided by `separator`
            or, in JSON, as a list; or a list of columns, each a label, that hold 0 or 1.
        value_columns: Numbers, a column for each value to predict.
        separator: Between the labels of one column.
        split_column: ``train``, ``validation``, ``test`` or another word for them.
        group_column: What belongs together, such as the patient: all of a group are in one split.
            An empty one belongs to nothing.
        weight_column: How much each counts in the loss, 0 or more; 1 if left out.
        split: How to divide what is not divided yet.
    """

    path: AbsolutePath
    path_column: Column | None = "path"
    path_template: PathTemplate | None = None
    input_column: Column | None = None
    name_column: Column | None = None
    class_column: Column | None = None
    label_columns: Column | tuple[Column, ...] = ()
    value_columns: tuple[Column, ...] = ()
    separator: Column = "|"
    split_column: Column | None = None
    group_column: Column | None = None
    weight_column: Column | None = None
    split: SplitRule = SplitRule()

    @model_validator(mode="before")
    @classmethod
    def _leave_paths_out(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("input_column") is not None:
            return {"path_column": None, **value}
        return value

    @model_validator(mode="after")
    def _take_one_column(self) -> Self:
        if (self.path_column is None) == (self.input_column is None):
            raise PydanticCustomError(
                "one_input", "needs one of 'path_column' and 'input_column', not both or none"
            )
        if self.path_template is not None and self.path_column is None:
            raise PydanticCustomError(
                "path_template", "'path_template' makes paths of 'path_column', which it lacks"
            )
        if self.name_column is not None and self.input_column is None:
            raise PydanticCustomError(
                "name_column", "'name_column' names examples of 'input_column'; files have paths"
            )
        return self

    @model_validator(mode="after")
    def _predict_one_thing(self) -> Self:
        if sum(map(bool, (self.class_column, self.label_columns, self.value_columns))) != 1:
            raise PydanticCustomError(
                "one_target", "needs one of 'class_column', 'label_columns' and 'value_columns'"
            )
        twice = repeated(self._columns)
        if twice:
            raise PydanticCustomError(
                "twice",
                f"names the column {twice[0]!r} twice. Correct one",
            )
        return self

    def load(self, seed: int) -> Splits:
        rows = read_table(self.path, verbatim=self.input_column)
        rows.require(self._columns)
        faults: list[Fault] = []
        inputs = self._inputs(rows, faults)
        labels = self._predicted(rows, faults)
        weights = rows.read_if_named(self.weight_column, weight_in, faults)
        groups = rows.read_if_named(self.group_column, group_in, faults)
        given = rows.read_if_named(self.split_column, split_in(self.split), faults)
        rows.refuse(faults)
        predicted = self.chosen(labels)
        examples = Examples(
            where=rows.where,
            names=inputs.names,
            files=inputs.files,
            labels=predicted.shown,
            groups=groups,
            given=given,
            kept=predicted.kept,
        )
        self._refuse_missing(rows, inputs, predicted)
        division = divide(examples, self.split, seed)
        trained = division.chosen == "train"
        target = predicted.target(rows.where, trained)
        whole = self._split(inputs, predicted, target, weights)
        notes = (*inputs.notes(self.input, predicted.kept), *predicted.notes(trained))
        splits = division.splits(whole, target, self.input, notes)
        if splits.train.weights is not None and not splits.train.weights.any():
            raise DataError(
                rows.where,
                "gives every training example a weight of 0",
                "Give some of them a weight above 0",
            )
        return splits

    def whole(self, target: Target) -> tuple[Split, str]:
        """All examples as one split, to score a model that knows `target`.

        The text says what is left out, as `classes` has it, or nothing.

        Raises:
            DataError: A class or label is none of its names, or the table is wrong.
        """
        rows = read_table(self.path, verbatim=self.input_column)
        rows.require((*self._target_columns, *self._input_columns))
        faults: list[Fault] = []
        inputs, labels = self._inputs(rows, faults), self._predicted(rows, faults)
        rows.refuse(faults)
        known = self.known(labels, target, rows.where)
        self._refuse_missing(rows, inputs, known)
        whole = self._split(inputs, known, target)
        return whole.take(known.of_kept(range(whole.size))), known.left_out

    @property
    def _target_columns(self) -> tuple[str, ...]:
        if self.class_column:
            return (self.class_column,)
        if isinstance(self.label_columns, str):
            return (self.label_columns,)
        return self.label_columns or self.value_columns

    @property
    def _input_columns(self) -> tuple[str, ...]:
        named = (self.path_column, self.input_column, self.name_column)
        return tuple(name for name in named if name)

    @property
    def _columns(self) -> tuple[str, ...]:
        others = (self.split_column, self.group_column, self.weight_column)
        return (*self._target_columns, *self._input_columns, *(name for name in others if name))

    def _inputs(self, rows: Rows, faults: list[Fault]) -> FileColumn | ContentColumn:
        if self.path_column is not None:
            return FileColumn.of(rows, self.path, self.path_column, self.path_template, faults)
        return ContentColumn.of(rows, str(self.input_column), self.name_column, faults)

    def _refuse_missing(
        self, rows: Rows, inputs: FileColumn | ContentColumn, labels: LabelColumns
    ) -> None:
        if self.on_bad_input == "stop":
            inputs.refuse_missing(rows, labels.kept)

    def _predicted(self, rows: Rows, faults: list[Fault]) -> LabelColumns:
        if self.class_column:
            return class_in(rows, self.class_column, faults)
        if isinstance(self.label_columns, str):
            return labels_listed(rows, self.label_columns, self.separator, faults)
        if self.label_columns:
            return labels_flagged(rows, self.label_columns, faults)
        return values_in(rows, self.value_columns, faults)

    def _split(
        self,
        inputs: FileColumn | ContentColumn,
        predicted: LabelColumns,
        target: Target,
        weights: Sequence[float] | None = None,
    ) -> Split:
        import numpy as np

        return Split(
            names=inputs.names,
            labels=predicted.labels(target.names),
            fetch=inputs.fetch(self.input),
            weights=None if weights is None else np.array(weights, "float32"),
            files=inputs.files,
        )
