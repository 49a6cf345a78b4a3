"""Scores a task on one split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.cache.inference import outputs_of
from kft.data import Split
from kft.errors import DataError
from kft.scoring.metrics import scoring_of
from kft.task import Task

if TYPE_CHECKING:
    import keras
    import numpy as np

OUTPUTS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of a task to the examples of a split.

    Attributes:
        split: As found, its examples raw.
        outputs: Predictions ``(size, k)``, float32; probabilities, or values in the data's units.
        scores: By metric name, ready for JSON.
    """

    split: Split
    outputs: np.ndarray
    scores: Mapping[str, Any]


def evaluate(
    task: Task, raw: Split, decoded: Split, name: str, model: keras.Model | None = None
) -> Answers:
    """The answers of `task` to a split, given as found and decoded, and their scores.

    `model` is the part of it that takes what `decoded` fetches; None is the whole.
    """
    (outputs,) = outputs_of(model or task.model, decoded, f"Scoring {name}")
    refuse_no_numbers(raw, outputs, name)
    loss = mean_loss(task, decoded, outputs)
    scores = scoring_of(task.target).scores(raw.labels, outputs)
    return Answers(raw, outputs, {"loss": loss, **scores})


def refuse_no_numbers(split: Split, outputs: np.ndarray, name: str) -> None:
    """Raises DataError if a model answers an example of the split called `name` with no number."""
    import numpy as np

    odd = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if odd.size:
        raise DataError(
            where=name,
            problem=f"the model answers {odd.size} of {split.size} examples with NaN or infinity, "
            f"such as {split.names[odd[0]]!r}",
            fix='Look whether these examples are sound; in 16 bits, precision "float32" may do',
        )


def mean_loss(task: Task, split: Split, outputs: np.ndarray) -> float:
    """Returns the head's loss over the split, without what it adds for large weights."""
    loss = task.head.loss(task.target)
    total = 0.0
    for part in slices_of(outputs):
        labels = task.target.dense(split.labels[part])
        total += float(loss(labels, outputs[part])) * len(labels)
    return total / len(outputs)


def slices_of(outputs: np.ndarray) -> Iterator[slice]:
    """Yields examples in parts: a loss takes several times the memory of their `outputs`."""
    examples = max(1, OUTPUTS_AT_ONCE // outputs.shape[1])
    for start in range(0, len(outputs), examples):
        yield slice(start, start + examples)
