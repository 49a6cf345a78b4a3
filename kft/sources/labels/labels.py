"""From labels as data holds them, numbers or text, to what is to be predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft.data import TargetKind
from kft.errors import DataError
from kft.messages import closest, natural, printable
from kft.sources.labels.cell_parsers import LARGEST
from kft.sources.labels.label_checks import check_names
from kft.sources.labels.label_columns import LabelColumns

if TYPE_CHECKING:
    import numpy as np


def predicted_in(
    where: str,
    labels: np.ndarray,
    kind: TargetKind,
    called: str | Sequence[str],
    names: Sequence[str] | None,
) -> LabelColumns:
    """The label columns of examples that have these `labels`.

    Of a class they are as in `number_classes`; else numbers ``(n,)`` or ``(n, k)``, or of several
    labels also lists, object ``(n,)``. `called` is what the data calls them or each column of
    them, for what `names` does not name.

    Raises:
        DataError: They are something else, or `names` does not fit them.
    """
    if kind == "class":
        classes, numbers = number_classes(where, labels, names)
        return LabelColumns(kind, classes, [(classes[number],) for number in numbers.tolist()])
    if kind == "multilabel" and labels.dtype == object:
        hot = multi_hot(labels)
        if hot is None:
            return labels_listed(where, labels, names)
        labels = hot
    table = numbers_of(where, labels, kind)
    columns = column_names(where, table.shape[1], called, names)
    if kind == "value":
        return LabelColumns(kind, columns, [()] * len(table), table)
    flags = table.tolist()
    shown = [tuple(name for name, has in zip(columns, row, strict=True) if has) for row in flags]
    return LabelColumns(kind, columns, shown)


def column_names(
    where: str, count: int, called: str | Sequence[str], names: Sequence[str] | None
) -> tuple[str, ...]:
    """The names of `count` columns: `names`, else as the data calls them."""
    if names is not None:
        check_names(names, least=1)
        if len(names) != count:
            raise DataError(
                where,
                f"has {count} numbers for each example, but there are {len(names)} class names",
                "Give one name for each of them",
            )
        return tuple(names)
    if not isinstance(called, str):
        return tuple(called)
    return (called,) if count == 1 else tuple(f"{called}/{number}" for number in range(count))


def numbers_of(where: str, labels: np.ndarray, kind: TargetKind) -> np.ndarray:
    """Returns `labels`, numbers ``(n,)`` or ``(n, k)``, as float32 ``(n, k)``.

    Raises:
        DataError: They are none, one is no number up to `LARGEST`, or one of several labels is
            neither 0 nor 1.
    """
    import numpy as np

    if labels.dtype.kind not in "biuf" or labels.ndim not in (1, 2):
        raise DataError(
            where,
            f"has labels of dtype {labels.dtype} and shape {labels.shape}, expected numbers "
            "(n,) or (n, k)",
            "Give one number, or a row of them, for each example",
        )
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite
        table = labels.astype("float32").reshape(len(labels), -1)
    is_value = kind == "value"
    wrong = labels.reshape(table.shape)[
        ~(np.abs(table) < LARGEST if is_value else (table == 0) | (table == 1))
    ]
    if wrong.size:
        expected = f"a number up to {LARGEST:g}" if is_value else "0 or 1"
        raise DataError(
            where,
            f"has the label {wrong[0]}, expected {expected}",
            f"Set each label to {expected}, or leave the example out",
        )
    return table


def multi_hot(rows: np.ndarray) -> np.ndarray | None:
    """Returns lists of numbers, object ``(n,)``, as ``(n, k)`` if all are 0 or 1 for k labels."""
    import numpy as np

    if len({len(row) for row in rows}) > 1:
        return None
    table = np.stack(list(rows))
    is_hot = table.dtype.kind in "biuf" and table.size and np.isin(table, (0, 1)).all()
    return table if is_hot else None


def labels_listed(where: str, rows: np.ndarray, names: Sequence[str] | None) -> LabelColumns:
    """Returns the labels that lists name by number or text, object ``(n,)``.

    Raises:
        DataError: They are no such lists, or one number for each of several labels.
    """
    import numpy as np

    labels, numbers = number_classes(where, np.concatenate(list(rows)), names, least=1)
    ends = np.cumsum([len(row) for row in rows])[:-1]
    shown = [tuple(labels[number] for number in part.tolist()) for part in np.split(numbers, ends)]
    if len({*map(len, shown)}) == 1 and any(len({*each}) < len(each) for each in shown):
        raise DataError(
            where,
            f"has a list of {len(shown[0])} for every example, with repeated labels",
            "Give 0 or 1 for each label, or lists in which each label stands once",
        )
    return LabelColumns("multilabel", labels, [tuple(dict.fromkeys(each)) for each in shown])


def number_classes(
    where: str, values: np.ndarray, class_names: Sequence[str] | None, least: int = 2
) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the class names, `least` of them, and a number for each value as int32 ``(n,)``.

    `values`, ``(n,)``, are whole numbers or text, which may be bytes. Numbers count the
    `class_names` from 0, and texts are among these; without them, the labels that there are, in
    natural order, are the names.

    Raises:
        DataError: They are something else, one is no class, or there are fewer classes.
    """
    import numpy as np

    kind = values.dtype.kind
    if kind not in "iubUSO" or values.ndim != 1:
        raise DataError(
            where,
            f"has labels of dtype {values.dtype} and shape {values.shape}, expected one whole "
            "number or text for each example",
            "Give class numbers, such as the argmax of each one-hot row, or set data.predicts to "
            '"multilabel" or "value"',
        )
    if kind in "USO":
        values = np.array([text_of(value) for value in values.tolist()])
    if class_names is None:
        there, numbers = np.unique(values, return_inverse=True)
        names = [str(value) for value in there.tolist()]
        order = sorted(range(len(names)), key=lambda index: natural(names[index]))
        if len(names) < least:
            found = f"only the label {names}, expected two or more" if names else "no label"
            raise DataError(where, f"has {found}", "Add examples with other labels")
        return tuple(names[index] for index in order), np.argsort(order)[numbers].astype("int32")
    check_names(class_names, least)
    if kind in "iub":
        return tuple(class_names), in_range(where, values.astype("int64"), len(class_names))
    return tuple(class_names), looked_up(where, values, class_names)


def text_of(value: object) -> str:
    """Returns a label as text on one line."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return printable(text)


def in_range(where: str, numbers: np.ndarray, classes: int) -> np.ndarray:
    """Returns `numbers` as int32, or refuses them if one is no number of the `classes`."""
    outside = numbers[(numbers < 0) | (numbers >= classes)]
    if outside.size:
        raise DataError(
            where,
            f"has the label {outside[0]}, but there are {classes} class names",
            f"Give labels from 0 to {classes - 1}, or add class names",
        )
    return numbers.astype("int32")


def looked_up(where: str, values: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Returns the place of each of `values` in `class_names`, or refuses one that is not there."""
    import numpy as np

    places = {name: number for number, name in enumerate(class_names)}
    stray = next((value for value in values.tolist() if value not in places), None)
    if stray is not None:
        raise DataError(
            where,
            f"has the label {stray!r}, which is no class name{closest(stray, class_names)}",
            "Correct the label, or add it to class_names",
        )
    return np.array([places[value] for value in values.tolist()], "int32")
