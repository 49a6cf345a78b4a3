"""Checks of the datasets that a program gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft.data import Split, Target
from kft.errors import DataError
from kft.messages import printable
from kft.scoring.metrics import scoring_of

if TYPE_CHECKING:
    import tensorflow as tf


def check_names(class_names: Sequence[str], least: int = 2) -> None:
    """Refuses fewer than `least` class names, repeated names, and names of more than one line."""
    if len(class_names) < least or len(set(class_names)) < len(class_names):
        raise DataError(
            where="class_names",
            problem=f"are {list(class_names)}, expected {'two' if least > 1 else 'one'} or more, "
            "all different",
            fix="Give one name for each class, in label order",
        )
    for name in class_names:
        if printable(name) != name:
            raise DataError(
                where="class_names",
                problem=f"hold {name!r}, which has line breaks or characters that are no text",
                fix="Remove these characters from the name",
            )


def check_elements(dataset: tf.data.Dataset, name: str, predicts: str, names: int) -> None:
    """Refuses a dataset that never ends or whose elements are not ``(raw, label)``.

    A label is a class number if it `predicts` a class, else as many numbers as there are `names`.
    """
    import tensorflow as tf

    if not isinstance(dataset, tf.data.Dataset):
        raise fault(name, f"is a {type(dataset).__name__}", "Give a tf.data.Dataset")
    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise fault(name, "never ends", "Remove its repeat(): the engine counts epochs")
    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and [type(part) for part in spec] == [tf.TensorSpec] * 2):
        raise fault(name, f"has elements {spec}", "Map them to (raw, label)")
    label = spec[1]
    if predicts != "class":
        check_row(label, name, names)
    elif label.shape.rank != 0 or not label.dtype.is_integer:
        raise fault(
            name,
            f"has labels of dtype {label.dtype.name} and shape {label.shape}, expected one "
            "integer for each example",
            "Undo its batch() with unbatch(), and give class numbers instead of one-hot rows",
        )


def check_row(label: tf.TensorSpec, name: str, names: int) -> None:
    """Refuses labels that are not one number for each of the `names`."""
    fits = label.shape.is_compatible_with([names]) or (names == 1 and label.shape.rank == 0)
    if not fits or not (label.dtype.is_floating or label.dtype.is_integer or label.dtype.is_bool):
        raise fault(
            name,
            f"has labels of dtype {label.dtype.name} and shape {label.shape}, expected {names} "
            "numbers for each example",
            "Undo its batch() with unbatch(), and give a number for each name",
        )


def check_alike(train: tf.data.Dataset, dataset: tf.data.Dataset, name: str) -> None:
    """Refuses a dataset whose examples are of another kind than those of `train`."""
    expected, found = train.element_spec[0], dataset.element_spec[0]
    if not expected.is_compatible_with(found):
        raise fault(
            name,
            f"has {found.dtype.name} examples of shape {found.shape}, but those of train are "
            f"{expected.dtype.name} of shape {expected.shape}",
            "Prepare both in the same way",
        )


def check_trained(train: Split, target: Target) -> None:
    """Refuses a class or label that has no training example: nothing could learn it."""
    counts = scoring_of(target).counts(train.labels)
    missing = [name for name, count in counts.items() if not count]
    if missing:
        raise fault(
            "train",
            f"has no example of {', '.join(map(repr, missing))}",
            "Add examples of it, or remove it from class_names and renumber the others",
        )


def fault(name: str, problem: str, fix: str) -> DataError:
    """Returns the error for the dataset of one split."""
    return DataError(f"the {name} dataset", problem, fix)
