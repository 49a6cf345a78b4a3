"""One or more numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from kft.data import Target, TargetKind
from kft.heads.layers import LayeredHead

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Regressor(LayeredHead):
    """Optional hidden layers, dropout and a linear layer.

    It learns how many standard deviations of the training examples a value is above their mean,
    so that its rates and losses mean the same for euros and for tonnes: a loss of 1 (``mse``) is
    that of predicting the mean. Answers and metrics are in the units of the data.

    Attributes:
        error: ``mse``, or ``huber``, which minds outliers less: beyond one standard deviation
            it grows in a straight line (Huber 1964).
    """

    predicts: ClassVar[TargetKind] = "value"

    error: Literal["mse", "huber"] = "mse"

    def outputs(self, features: keras.KerasTensor, target: Target) -> keras.KerasTensor:
        import keras

        standard = self.layered(features, target, "linear")
        if not target.deviations:
            return standard
        # Not a Normalization, which takes no deviation below 1e-7 for what it is.
        units = keras.layers.Rescaling(
            list(target.deviations), list(target.means), dtype="float32", name="units"
        )
        return units(standard)

    def loss(self, target: Target) -> keras.losses.Loss:
        from kft.heads.standardised import Standardised

        return Standardised(self.error, target.deviations or 1.0)

    def metrics(self) -> list[keras.metrics.Metric]:
        import keras

        return [
            keras.metrics.MeanAbsoluteError(name="mae"),
            keras.metrics.RootMeanSquaredError(name="rmse"),
        ]

    def served(self, outputs: tf.Tensor, target: Target) -> Mapping[str, tf.Tensor]:
        """Returns the values, and the name of each."""
        import tensorflow as tf

        names = tf.broadcast_to(tf.constant(target.names), tf.shape(outputs))
        return {"values": outputs, "names": names}
