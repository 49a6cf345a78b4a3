"""A layer that runs the model inside it in inference mode."""

from typing import Any

import keras

from kft.layers.batch_norm import batch_statistics, trained_norms
from kft.layers.fold import infer


@keras.saving.register_keras_serializable("kft")
class InferenceMode(keras.layers.Layer):
    """Calls `model` with ``training=False``, whatever the outer model is doing.

    In Keras 3 ``fit`` overrides the ``training=False`` of ``base(x, training=False)`` in a
    Functional model (keras-team/keras#20285), so batch statistics drift and dropout runs in a
    frozen backbone. The explicit argument inside a layer's own ``call`` has priority.

    With `trains_batch_norm`, the batch normalisations that have something to train do follow the
    outer model, and they alone. With `noise`, all of the model does while any of it is unfrozen.
    """

    def __init__(
        self,
        model: keras.Model,
        trains_batch_norm: bool = False,
        noise: bool = False,
        **kwargs: Any,
    ) -> None:
        # Without autocast, so that in mixed precision each layer inside casts for itself, and
        # inputs come to the first one as they are.
        super().__init__(autocast=False, **kwargs)
        self.model = model
        self.trains_batch_norm = trains_batch_norm
        self.noise = noise

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the features of `inputs`, shape ``(batch, d)``."""
        following = trained_norms(self.model) if training and self.trains_batch_norm else []
        noisy = self.noise and bool(training) and bool(self.model.trainable_variables)
        with batch_statistics(following):
            if noisy:
                return self.model(inputs, training=True)
            return infer(self.model, inputs, following)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns ``(batch, d)`` in the dtype of the model, the batch of unknown size."""
        (features,) = self.model.outputs
        return keras.KerasTensor((None, features.shape[-1]), dtype=features.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` needs."""
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "trains_batch_norm": self.trains_batch_norm,
            "noise": self.noise,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "InferenceMode":
        """Returns the layer that `get_config` described."""
        model = keras.saving.deserialize_keras_object(config["model"])
        return cls(**{**config, "model": model})
