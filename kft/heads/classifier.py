"""One class out of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from kft.data import Target, TargetKind
from kft.heads.layers import LayeredHead, best_first

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf


class Classifier(LayeredHead):
    """Optional hidden layers, dropout and a softmax; two classes are two probabilities.

    Attributes:
        label_smoothing: Share of each label spread evenly over the classes while training
            (Szegedy et al. 2016).
    """

    predicts: ClassVar[TargetKind] = "class"

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def outputs(self, features: keras.KerasTensor, target: Target) -> keras.KerasTensor:
        return self.layered(features, target, "softmax")

    def loss(self, target: Target) -> keras.losses.Loss:
        import keras

        return keras.losses.CategoricalCrossentropy()

    def training_loss(self, target: Target, labels: np.ndarray) -> keras.losses.Loss:
        import keras

        return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        import keras

        return [keras.metrics.CategoricalAccuracy(name="accuracy")]

    def served(self, outputs: tf.Tensor, target: Target) -> Mapping[str, tf.Tensor]:
        """Returns the probabilities in label order, and classes and scores, the best first."""
        classes, scores = best_first(outputs, target)
        return {"probabilities": outputs, "classes": classes, "scores": scores}
