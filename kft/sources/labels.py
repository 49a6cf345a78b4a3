"""From labels as data holds them, numbers or text, to class names and class numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft.component import closest
from kft.errors import DataError
from kft.sources.dataset_checks import check_names
from kft.sources.layout import natural

if TYPE_CHECKING:
    import numpy as np


def number_classes(
    where: str, values: np.ndarray, class_names: Sequence[str] | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the class names, and the class number of each example as int32 ``(n,)``.

    `values`, ``(n,)``, are whole numbers or text, which may be bytes. Numbers count the
    `class_names` from 0, and texts are among these; without them, the labels that there are, in
    natural order, are the names.

    Raises:
        DataError: They are something else, one is no class, or there are fewer than two classes.
    """
    import numpy as np

    kind = values.dtype.kind
    if kind not in "iubUSO" or values.ndim != 1:
        raise DataError(
            where,
            f"has labels of dtype {values.dtype} and shape {values.shape}, expected one whole "
            "number or text for each example",
            "Give class numbers, such as the argmax of each one-hot row",
        )
    if kind in "SO":
        values = np.array([text_of(value) for value in values.tolist()])
    if class_names is None:
        found, numbers = np.unique(values, return_inverse=True)
        names = [str(value) for value in found.tolist()]
        order = sorted(range(len(names)), key=lambda index: natural(names[index]))
        if len(names) < 2:
            raise DataError(where, f"has only the label {names}, expected two or more", "Add some")
        return tuple(names[index] for index in order), np.argsort(order)[numbers].astype("int32")
    check_names(class_names)
    if kind in "iub":
        return tuple(class_names), in_range(where, values.astype("int64"), len(class_names))
    return tuple(class_names), looked_up(where, values, class_names)


def text_of(value: object) -> str:
    """Returns a label as text."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def in_range(where: str, numbers: np.ndarray, classes: int) -> np.ndarray:
    """Returns `numbers` as int32, or refuses them if one is no number of the `classes`."""
    outside = numbers[(numbers < 0) | (numbers >= classes)]
    if outside.size:
        raise DataError(
            where,
            f"has the label {outside[0]}, but there are {classes} class names",
            f"Give labels from 0 to {classes - 1}, or more names",
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
