"""What is wrong with datasets that a program gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft.data import Split
from kft.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf


def check_names(class_names: Sequence[str]) -> None:
    """Refuses class names that do not tell two classes or more apart."""
    if len(class_names) < 2 or len(set(class_names)) < len(class_names):
        raise DataError(
            where="class_names",
            problem=f"are {list(class_names)}, expected two or more, all different",
            fix="Give one name for each class, in label order",
        )


def check_elements(dataset: tf.data.Dataset, name: str) -> None:
    """Refuses a dataset that never ends or whose elements are not ``(raw, class number)``."""
    import tensorflow as tf

    if not isinstance(dataset, tf.data.Dataset):
        raise fault(name, f"is a {type(dataset).__name__}", "Give a tf.data.Dataset")
    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise fault(name, "never ends", "Take its repeat() away: the engine counts epochs")
    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and [type(part) for part in spec] == [tf.TensorSpec] * 2):
        raise fault(name, f"has elements {spec}", "Map them to (raw, class number)")
    label = spec[1]
    if label.shape.rank != 0 or not label.dtype.is_integer:
        raise fault(
            name,
            f"has labels of dtype {label.dtype.name} and shape {label.shape}, expected one "
            "integer for each example",
            "Take its batch() away with unbatch(), and give class numbers instead of one-hot rows",
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


def check_trained(train: Split, class_names: Sequence[str]) -> None:
    """Refuses a class that has no training example: nothing could learn it."""
    there = set(train.labels.tolist())
    missing = [name for number, name in enumerate(class_names) if number not in there]
    if missing:
        raise fault(
            "train",
            f"has no example of {', '.join(map(repr, missing))}",
            "Add some, or take the class out of class_names and number the others anew",
        )


def fault(name: str, problem: str, fix: str) -> DataError:
    """Returns the error for the dataset of one split."""
    return DataError(f"the {name} dataset", problem, fix)
