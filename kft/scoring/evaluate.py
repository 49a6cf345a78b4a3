"""Scores a task on one split."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kft.cache.inference import outputs_of
from kft.data import Split, Target
from kft.errors import DataError
from kft.host_memory import from_memory
from kft.scoring.intervals import CONFIDENCE, RESAMPLES, mean_intervals
from kft.scoring.metrics import scoring_of
from kft.task import Task

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

# One graph for all splits, as in `kft.cache.inference`.
_with_losses: weakref.WeakKeyDictionary[keras.Model, keras.Model] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of a task to the examples of a split.

    Attributes:
        split: As found, its examples raw.
        outputs: Predictions ``(size, k)``, float32; probabilities, or values in the data's units.
        losses: The head's loss of each example, float64 ``(size,)``.
        scores: By metric name, ready for JSON.
    """

    split: Split
    outputs: np.ndarray
    losses: np.ndarray
    scores: Mapping[str, Any]


def evaluate(
    task: Task, raw: Split, decoded: Split, name: str, model: keras.Model | None = None
) -> Answers:
    """The answers of `task` to a split, given as found and decoded, and their scores.

    `model` is the part of it that takes what `decoded` fetches; None is the whole.
    """
    whole = with_losses(model or task.model, task)
    outputs, losses = outputs_of(whole, with_labels(decoded, task.target), f"Scoring {name}")
    refuse_no_numbers(raw, outputs, name)
    losses = losses.reshape(len(outputs), -1).mean(axis=1, dtype="float64")
    scores = scoring_of(task.target).scores(raw.labels, outputs)
    return Answers(raw, outputs, losses, {"loss": float(losses.mean()), **scores})


def with_intervals(answers: Answers, target: Target) -> Answers:
    """Returns `answers` with the confidence intervals of their scores beside these."""
    scoring, labels = scoring_of(target), answers.split.labels
    intervals = {
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        **scoring.intervals(labels, answers.outputs),
        **mean_intervals({"loss": answers.losses}),
    }
    return replace(answers, scores={**answers.scores, "intervals": intervals})


def with_losses(model: keras.Model, task: Task) -> keras.Model:
    """Returns `model` with labels as a further input, and the loss of each as a further output.

    The loss is that of the head, without what it adds for large weights. It is computed within
    the model, since its outputs no longer say how unlikely something is that they round to 0.
    """
    import keras

    if model not in _with_losses:
        loss = task.head.loss(task.target)
        labels = keras.Input((len(task.target.names),), dtype="float32", name="labels")
        each = keras.layers.Lambda(lambda pair: loss.call(*pair), dtype="float32", name="losses")
        _with_losses[model] = keras.Model(
            [*model.inputs, labels], [model.output, each([labels, model.output])]
        )
    return _with_losses[model]


def with_labels(split: Split, target: Target) -> Split:
    """Returns `split` whose examples have their label, ``(k,)``, as a further tensor."""
    import tensorflow as tf

    labels = from_memory(split.labels)

    def fetch(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        inputs, label = split.fetch(index), labels(index)
        if target.kind == "class":
            label = tf.one_hot(label, len(target.names))
        return (*inputs, label) if isinstance(inputs, tuple) else (inputs, label)

    return replace(split, fetch=fetch)


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
