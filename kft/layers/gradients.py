"""Gradients of variables that were frozen when they were made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def record_gradients(variables: Iterable[keras.Variable]) -> None:
    """Makes TensorFlow record gradients of those of `variables` that are trainable.

    A subclassed model or layer that is frozen when it is first called gets variables that
    TensorFlow records no gradients of. In Keras 3.15 setting ``trainable`` does not reach them:
    they are listed as trainable, and stay as they are. Rebuild the training step afterwards.
    """
    for variable in variables:
        if variable.trainable and not variable.value.trainable:
            for replica in getattr(variable.value, "values", (variable.value,)):
                replica._trainable = True
