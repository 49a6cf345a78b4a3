"""Batch normalisation that follows the batches it sees, in a backbone in inference mode otherwise.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from kft.layers.precision import trains


def trained_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns the batch normalisations of `model`, however deep inside, whose gain or bias trains.

    A layer that has neither belongs to no stage, and keeps its statistics.
    """
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and trains(layer)
    ]


@contextmanager
def batch_statistics(norms: Sequence[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Makes `norms` train, whatever the model around them says to its layers.

    Each normalises by its batch and moves its averages. A setting of a model goes to all layers
    in it, dropout too, and Keras has no argument for those of one kind; hence the method in place
    of the layer's own. The replicas of a strategy may be in here at the same time, each in a
    thread: the last to leave puts the method back.
    """
    for norm in norms:
        vars(norm).setdefault("call", TrainingCall(norm)).users += 1
    try:
        yield
    finally:
        for norm in norms:
            vars(norm)["call"].users -= 1
            if not vars(norm)["call"].users:
                del vars(norm)["call"]


class TrainingCall:
    """The ``call`` of a batch normalisation, with ``training`` always True.

    Attributes:
        users: How many need it now.
    """

    def __init__(self, norm: keras.layers.BatchNormalization) -> None:
        self.users = 0
        self._norm = norm

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The output of the layer itself."""
        return type(self._norm).call(self._norm, *arguments, **{**keywords, "training": True})
