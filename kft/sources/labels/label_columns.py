"""The columns of labels in a table: a class, several labels, or values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, TypeVar

from kft.data import Target, TargetKind
from kft.errors import DataError
from kft.messages import natural, printable, quoted
from kft.settings.bounds import MOST_LABEL_BYTES
from kft.sources.labels.cell_parsers import flag_in, labels_in, number_in, text_in
from kft.sources.table_file import Fault, Rows

if TYPE_CHECKING:
    import numpy as np


FLOAT_BYTES = 4

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class LabelColumns:
    """The labels of all examples.

    Attributes:
        names: Of the classes, labels or values, in label order.
        shown: The classes or labels of each example; none if it has values.
        values: Float32 ``(size, k)``, or None.
        kept: Whether each example is one of those to learn or to score; None if all are. Others
            show nothing.
        left_out: What a person should know of those that are not, or nothing.
    """

    kind: TargetKind
    names: tuple[str, ...]
    shown: Sequence[tuple[str, ...]]
    values: np.ndarray | None = None
    kept: Sequence[bool] | None = None
    left_out: str = ""

    def labels(self, names: Sequence[str]) -> np.ndarray:
        """Returns the labels of a `Split`; `names` are in label order. What is left out has -1."""
        import numpy as np

        numbers = {name: number for number, name in enumerate(names)}
        if self.values is not None:
            return self.values
        if self.kind == "class":
            classes = [numbers[shown[0]] if shown else -1 for shown in self.shown]
            return np.array(classes, "int32")
        labels = np.zeros((len(self.shown), len(names)), "float32")
        for row, shown in zip(labels, self.shown, strict=True):
            row[[numbers[name] for name in shown]] = 1
        return labels

    def of_kept(self, values: Sequence[T]) -> list[T]:
        """Returns those of `values`, one for each example, whose example is kept."""
        return [*(values if self.kept is None else compress(values, self.kept))]

    def target(self, where: str, trained: np.ndarray) -> Target:
        """Returns the target, where `trained`, bool ``(size,)``, says what is trained on.

        Raises:
            DataError: There are too few classes, or no example of a label.
        """
        if self.values is not None:
            return Target.of_values(self.names, self.values[trained])
        least = 2 if self.kind == "class" else 1
        if len(self.names) < least:
            what = f"only the class {quoted(self.names)}" if self.names else "no label in any line"
            raise DataError(where, f"has {what}", "Add lines with other classes or labels")
        numbers = len(self.names) * len(self.shown)
        if self.kind == "multilabel" and FLOAT_BYTES * numbers > MOST_LABEL_BYTES:
            raise DataError(
                where,
                f"has {len(self.names)} labels for {len(self.shown)} examples, which are {numbers} "
                f"numbers, expected up to {MOST_LABEL_BYTES // FLOAT_BYTES}",
                "Leave out rare labels, or check that the column holds labels",
            )
        there = {name for shown in self.shown for name in shown}
        if absent := [name for name in self.names if name not in there]:
            raise DataError(
                where,
                f"has no example of {quoted(absent)}",
                "Add examples of it, or leave it out of the data and of the names",
            )
        return Target(self.kind, self.names)

    def notes(self, trained: np.ndarray) -> Iterator[str]:
        """Yields what a person should know of it, and of the values that are trained on."""
        if self.left_out:
            yield self.left_out
        if self.values is not None:
            for name, column in zip(self.names, self.values[trained].T, strict=True):
                yield (
                    f"{name!r} in train: from {column.min():.6g} to {column.max():.6g}, mean "
                    f"{column.mean():.6g}, standard deviation {column.std():.6g}"
                )


def class_in(rows: Rows, column: str, faults: list[Fault]) -> LabelColumns:
    """Returns the classes in `column`."""
    shown = [(printable(name),) for name in rows.read(column, text_in, faults)]
    return LabelColumns("class", natural_order(shown), shown)


def labels_listed(rows: Rows, column: str, separator: str, faults: list[Fault]) -> LabelColumns:
    """Returns the labels that `column` lists."""
    shown = rows.read(column, labels_in(separator), faults)
    return LabelColumns("multilabel", natural_order(shown), shown)


def labels_flagged(rows: Rows, columns: Sequence[str], faults: list[Fault]) -> LabelColumns:
    """Returns the labels that have a column each."""
    flags = zip(*(rows.read(name, flag_in, faults) for name in columns), strict=False)
    names = tuple(map(printable, columns))
    shown = [tuple(name for name, has in zip(names, row, strict=True) if has) for row in flags]
    return LabelColumns("multilabel", names, shown)


def values_in(rows: Rows, columns: Sequence[str], faults: list[Fault]) -> LabelColumns:
    """Returns the numbers in `columns`."""
    import numpy as np

    table = list(zip(*(rows.read(name, number_in, faults) for name in columns), strict=False))
    names = tuple(map(printable, columns))
    return LabelColumns("value", names, [()] * len(table), np.array(table, "float32"))


def natural_order(shown: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Returns all names that are shown."""
    return tuple(sorted({name for names in shown for name in names}, key=natural))
