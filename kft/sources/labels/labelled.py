"""From what a source of arrays or records found to the splits of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft.data import Split, Splits
from kft.input import Input
from kft.sources.labels.label_columns import LabelColumns
from kft.sources.labels.labels import text_of
from kft.sources.splitting.split_assignment import Examples, divide
from kft.sources.splitting.split_rule import SplitRule

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True, eq=False)
class Labelled:
    """Examples with what is to be predicted of each, in one order.

    Attributes:
        where: What a message calls the data.
        names: As in `Examples`; so is `given`.
        groups: Numbers or text, ``(n,)``, or None.
        fetch: As in `Split`, but what it gives is what `Input.encode` takes.
        notes: What a person should know.
    """

    where: str
    names: Sequence[str]
    predicted: LabelColumns
    groups: np.ndarray | None
    given: Sequence[str | None] | None
    fetch: Callable[[tf.Tensor], tf.Tensor]
    notes: tuple[str, ...] = ()


def labelled_splits(found: Labelled, input: Input, rule: SplitRule, seed: int) -> Splits:
    """Returns the splits of what was `found`.

    Raises:
        DataError: `input` takes no such examples, they cannot be divided, or a label has none.
    """
    import tensorflow as tf

    predicted = found.predicted
    groups = None if found.groups is None else [text_of(group) for group in found.groups.tolist()]
    examples = Examples(
        found.where, found.names, predicted.shown, groups, found.given, kept=predicted.kept
    )
    division = divide(examples, rule, seed)
    trained = division.chosen == "train"
    target = predicted.target(found.where, trained)
    input.encode(found.fetch(tf.constant(0, "int64")))  # to know at once that it can be read
    labels = predicted.labels(target.names)
    whole = Split(found.names, labels, lambda index: input.encode(found.fetch(index)))
    return division.splits(whole, target, input, (*found.notes, *predicted.notes(trained)))
