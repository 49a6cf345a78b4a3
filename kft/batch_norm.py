"""Batch normalisation that follows the batches it sees, in a backbone in inference mode otherwise.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras


def trained_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns the batch normalisations of `model`, however deep inside, whose gain or bias trains.

    A layer that has neither belongs to no stage, and keeps its statistics.
    """
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        and any(variable.trainable for variable in layer._trainable_variables)
    ]


@contextmanager
def batch_statistics(norms: Sequence[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Makes `norms` train, whatever the model around them says to its layers.

    Each normalises by its batch and moves its averages. What a model is told goes to all layers
    in it, dropout too, and Keras has no argument for those of one kind; hence the method in place
    of the layer's own.
    """
    for norm in norms:
        vars(norm)["call"] = training_call(norm)
    try:
        yield
    finally:
        for norm in norms:
            del vars(norm)["call"]


def training_call(norm: keras.layers.BatchNormalization) -> Callable[..., Any]:
    """Returns the ``call`` of `norm`, with ``training`` always True."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        return type(norm).call(norm, *arguments, **{**keywords, "training": True})

    return call
