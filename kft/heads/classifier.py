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
        focal_gamma: Power of the probability of an error by which an example counts while training:
            the higher, the less do examples count that are right already (Lin et al. 2017, who
            take 2); 0 lets all count alike.
        logit_adjustment: Power of the share of each class in the training examples by which its
            probability is multiplied while training, so that rare classes are predicted as if all
            were equally frequent (Menon et al. 2021, who take 1); 0 does not.
    """

    predicts: ClassVar[TargetKind] = "class"

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 0.0
    logit_adjustment: Annotated[float, Field(ge=0, le=4)] = 0.0

    def outputs(self, features: keras.KerasTensor, target: Target) -> keras.KerasTensor:
        return self.layered(features, target, "softmax")

    def loss(self, target: Target) -> keras.losses.Loss:
        import keras

        return keras.losses.CategoricalCrossentropy()

    def training_loss(self, target: Target, labels: np.ndarray) -> keras.losses.Loss:
        import keras
        import numpy as np

        from kft.heads.cross_entropy import TrainingCrossEntropy

        if not self.focal_gamma and not self.logit_adjustment:
            return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)
        counts = np.bincount(labels, minlength=len(target.names))
        shares = np.maximum(counts, 1) / len(labels)
        factors = shares**self.logit_adjustment
        return TrainingCrossEntropy(self.label_smoothing, self.focal_gamma, factors)

    def metrics(self) -> list[keras.metrics.Metric]:
        import keras

        return [keras.metrics.CategoricalAccuracy(name="accuracy")]

    def served(self, outputs: tf.Tensor, target: Target) -> Mapping[str, tf.Tensor]:
        """Returns the probabilities in label order, and classes and scores, the best first."""
        classes, scores = best_first(outputs, target)
        return {"probabilities": outputs, "classes": classes, "scores": scores}
