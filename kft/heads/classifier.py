"""One class out of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from kft.data import Target
from kft.errors import ConfigError
from kft.head import Head

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Classifier(Head):
    """Optional hidden layers, dropout and a softmax; two classes are two probabilities.

    Attributes:
        hidden: Units of each hidden layer, input side first.
        activation: Of the hidden layers.
        batch_norm: Whether batch normalisation follows each hidden layer.
        dropout: Share of features dropped before each dense layer while training.
        l2: Factor of the squared kernel weights in the loss.
        label_smoothing: Share of each label spread evenly over the classes (Szegedy et al. 2016).
    """

    hidden: tuple[PositiveInt, ...] = ()
    activation: Literal["relu", "gelu", "silu", "tanh", "elu", "selu"] = "relu"
    batch_norm: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    l2: NonNegativeFloat = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def outputs(self, features: keras.KerasTensor, target: Target) -> keras.KerasTensor:
        if target.kind != "class":
            raise ConfigError(
                where="head.kind",
                problem=f"'classifier' predicts one class, but the data has a {target.kind} target",
                fix="Choose a head for this target",
            )
        x = features
        for number, units in enumerate(self.hidden):
            x = self._hidden_layer(x, units, f"head_hidden_{number}")
        return self._dense(len(target.names), "softmax", "head_output")(self._dropped(x))

    def _hidden_layer(self, x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
        import keras

        x = self._dense(units, None, name)(self._dropped(x))
        if self.batch_norm:
            x = keras.layers.BatchNormalization(dtype="float32", name=f"{name}_norm")(x)
        return keras.layers.Activation(self.activation, dtype="float32", name=f"{name}_act")(x)

    def _dropped(self, x: keras.KerasTensor) -> keras.KerasTensor:
        import keras

        return keras.layers.Dropout(self.dropout, dtype="float32")(x) if self.dropout else x

    def _dense(self, units: int, activation: str | None, name: str) -> keras.layers.Dense:
        """Returns a layer in float32, since a softmax in half precision loses small classes."""
        import keras

        decay = keras.regularizers.L2(self.l2) if self.l2 else None
        return keras.layers.Dense(
            units, activation, kernel_regularizer=decay, dtype="float32", name=name
        )

    def loss(self) -> keras.losses.Loss:
        import keras

        return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        import keras

        return [keras.metrics.CategoricalAccuracy(name="accuracy")]

    def served(self, outputs: tf.Tensor, target: Target) -> Mapping[str, tf.Tensor]:
        """Returns the probabilities in label order, and classes and scores, the best first."""
        import tensorflow as tf

        scores, order = tf.math.top_k(outputs, k=len(target.names))
        names = tf.constant(target.names)
        return {"probabilities": outputs, "classes": tf.gather(names, order), "scores": scores}
