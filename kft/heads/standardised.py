"""The loss of values whose scales differ. Reached from functions only, since it imports Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


class Standardised(keras.losses.Loss):
    """Another loss, of values counted in their standard deviations."""

    def __init__(self, error: str, deviations: Sequence[float] | float) -> None:
        super().__init__(name=error)
        self._error = keras.losses.get(error)
        self._deviations = deviations

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example, ``(batch,)``."""
        scale = keras.ops.convert_to_tensor(self._deviations, "float32")
        # Their difference first: of a large value, its share of a small deviation is lost.
        errors = (y_pred - y_true) / scale
        return self._error(keras.ops.zeros_like(errors), errors)
