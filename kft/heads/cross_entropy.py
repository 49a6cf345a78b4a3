"""A cross-entropy to train with. Reached from functions only, since it imports Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class TrainingCrossEntropy(keras.losses.Loss):
    """The cross-entropy of probabilities ``q``, times ``(1 - q[true]) ** focal_gamma``.

    ``q`` is the model's probability of each class times `factors`, one for each class, divided by
    the sum of all; that is to add their logarithms to the logits. Labels may be shares of classes:
    the true probability is then the mean of theirs.
    """

    def __init__(self, label_smoothing: float, focal_gamma: float, factors: np.ndarray) -> None:
        super().__init__(name="cross_entropy")
        self._plain = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
        self._label_smoothing = label_smoothing
        self._focal_gamma = focal_gamma
        self._factors = factors.astype("float32")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example, ``(batch,)``."""
        ops = keras.ops
        smooth = self._label_smoothing
        labels = y_true * (1 - smooth) + smooth / len(self._factors)
        adjusted = y_pred * self._factors
        total = ops.sum(adjusted, axis=-1)
        # Not the logarithm of `adjusted`, which may have rounded to 0: Keras knows the logits.
        loss = self._plain.call(y_true, y_pred)
        loss += ops.log(total) - ops.sum(labels * np.log(self._factors), axis=-1)
        if not self._focal_gamma:
            return loss
        wrong = 1 - ops.sum(y_true * adjusted, axis=-1) / total
        # Of 0, a power below 1 has no finite slope.
        return ops.power(ops.maximum(wrong, keras.config.epsilon()), self._focal_gamma) * loss
