"""The layers that all heads share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from kft.data import Target, TargetKind
from kft.errors import ConfigError
from kft.head import Head
from kft.settings.bounds import MOST_LAYERS, Units

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

FITTING = {"class": "classifier", "multilabel": "multilabel", "value": "regressor"}


class LayeredHead(Head):
    """Optional hidden layers and dropout; a kind adds the output layer.

    Attributes:
        predicts: The kind of target that it is for.
        hidden: Units of each hidden layer, input side first.
        activation: Of the hidden layers.
        batch_norm: Whether batch normalisation follows each hidden layer.
        dropout: Share of features dropped before each dense layer while training.
        l2: Factor of the squared kernel weights in the loss.
    """

    predicts: ClassVar[TargetKind]

    hidden: Annotated[tuple[Units, ...], Field(max_length=MOST_LAYERS)] = ()
    activation: Literal["relu", "gelu", "silu", "tanh", "elu", "selu"] = "relu"
    batch_norm: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    l2: NonNegativeFloat = 0.0

    def layered(
        self, features: keras.KerasTensor, target: Target, activation: str
    ) -> keras.KerasTensor:
        """Returns the output layer on the hidden ones, ``(batch, len(target.names))``.

        Raises:
            ConfigError: The target is of a kind for another head.
        """
        if target.kind != self.predicts:
            raise ConfigError(
                where="head",
                problem=f"{self.kind!r} is for a {self.predicts} target, but the data has a "
                f"{target.kind} target",
                fix=f'Set head to {{"kind": "{FITTING[target.kind]}"}}',
            )
        x = features
        for number, units in enumerate(self.hidden):
            x = self._hidden_layer(x, units, f"head_hidden_{number}")
        return self._dense(len(target.names), activation, "head_output")(self._dropped(x))

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


def best_first(outputs: tf.Tensor, target: Target) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the names and the probabilities of each example, ``(batch, k)``, likeliest first."""
    import tensorflow as tf

    scores, order = tf.math.top_k(outputs, k=len(target.names))
    return tf.gather(tf.constant(target.names), order), scores
