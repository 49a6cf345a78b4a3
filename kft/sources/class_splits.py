"""From what a source found, one label of any sort for each example, to the splits of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft.data import Split, Splits, Target
from kft.input import Input
from kft.sources.dataset_checks import check_trained
from kft.sources.division import Examples, divide
from kft.sources.labels import number_classes, text_of
from kft.sources.split_rule import SplitRule

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True, eq=False)
class Labelled:
    """Examples that show one class each, in one order.

    Attributes:
        where: What a message calls the data.
        names: As in `Examples`; so is `given`.
        labels: Whole numbers or text, ``(n,)``.
        groups: Numbers or text, ``(n,)``, or None.
        fetch: As in `Split`, but what it gives is what `Input.encode` takes.
        class_names: As in `number_classes`.
        notes: What a person should know.
    """

    where: str
    names: Sequence[str]
    labels: np.ndarray
    groups: np.ndarray | None
    given: Sequence[str | None] | None
    fetch: Callable[[tf.Tensor], tf.Tensor]
    class_names: Sequence[str] | None
    notes: tuple[str, ...] = ()


def class_splits(found: Labelled, input: Input, rule: SplitRule, seed: int) -> Splits:
    """Returns the splits of what was `found`.

    Raises:
        DataError: The labels are no classes, `input` takes no such examples, or they cannot be
            divided.
    """
    import tensorflow as tf

    classes, numbers = number_classes(found.where, found.labels, found.class_names)
    groups = None if found.groups is None else [text_of(group) for group in found.groups.tolist()]
    labels = [(classes[number],) for number in numbers.tolist()]
    examples = Examples(found.where, found.names, labels, groups, found.given)
    division = divide(examples, rule, seed)
    input.encode(found.fetch(tf.constant(0, "int64")))  # to know at once that it can be read
    whole = Split(found.names, numbers, lambda index: input.encode(found.fetch(index)))
    splits = division.splits(whole, Target("class", classes), input, found.notes)
    check_trained(splits.train, splits.target)
    return splits
