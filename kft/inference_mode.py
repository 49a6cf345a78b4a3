"""A layer that runs the model inside it in inference mode."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("kft")
class InferenceMode(keras.layers.Layer):
    """Calls `model` with ``training=False``, whatever the outer model is doing.

    In Keras 3 ``fit`` overrides the ``training=False`` of ``base(x, training=False)`` in a
    Functional model (keras-team/keras#20285), so batch statistics drift and dropout runs in a
    frozen backbone. The explicit argument inside a layer's own ``call`` has priority.
    """

    def __init__(self, model: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def call(self, inputs: Any) -> Any:
        """Returns the features of `inputs`, shape ``(batch, d)``."""
        return self.model(inputs, training=False)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns ``(batch, d)``, the batch of unknown size."""
        return (None, self.model.output_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {**super().get_config(), "model": keras.saving.serialize_keras_object(self.model)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "InferenceMode":
        """Returns the layer that `get_config` described."""
        model = keras.saving.deserialize_keras_object(config["model"])
        return cls(**{**config, "model": model})
