"""Any number of labels at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from kft.data import Target, TargetKind
from kft.heads.layers import LayeredHead, best_first
from kft.scoring.metrics import THRESHOLD

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf


class Multilabel(LayeredHead):
    """Optional hidden layers, dropout and a sigmoid for each label.

    An example has the labels whose probability is a half or more. The loss is the binary
    cross-entropy, the mean over the labels; the leading metric is the micro F1.

    Attributes:
        label_smoothing: Share by which each label is moved towards a half, from 0 or from 1, while
            training.
    """

    predicts: ClassVar[TargetKind] = "multilabel"

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def outputs(self, features: keras.KerasTensor, target: Target) -> keras.KerasTensor:
        return self.layered(features, target, "sigmoid")

    def loss(self, target: Target) -> keras.losses.Loss:
        return self._cross_entropy(0.0)

    def training_loss(self, target: Target, labels: np.ndarray) -> keras.losses.Loss:
        return self._cross_entropy(self.label_smoothing)

    def _cross_entropy(self, label_smoothing: float) -> keras.losses.Loss:
        import keras

        # No mean over the labels of an example, since each may have a weight of its own.
        return keras.losses.BinaryCrossentropy(label_smoothing=label_smoothing, axis=())

    def metrics(self) -> list[keras.metrics.Metric]:
        import keras

        return [keras.metrics.F1Score(average="micro", threshold=THRESHOLD, name="micro_f1")]

    def served(self, outputs: tf.Tensor, target: Target) -> Mapping[str, tf.Tensor]:
        """Returns the probabilities in label order, and labels and scores, the best first."""
        labels, scores = best_first(outputs, target)
        return {"probabilities": outputs, "labels": labels, "scores": scores}
