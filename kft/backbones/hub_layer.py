"""A Reusable SavedModel as a Keras 3 layer.

``hub.KerasLayer`` is one of tf_keras and cannot be part of a Keras 3 model (tensorflow/hub#930);
``keras.layers.TFSMLayer`` never runs the training trace and drops the regularisation losses
(Keras 3.15). Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kft.backbones.hub_module import HubModule


class HubLayer(keras.layers.Layer):
    """Calls `module`, whose variables are the layer's own: training them changes the module.

    `may_train` says of each variable whether a phase may unfreeze it. While any is unfrozen, the
    regularisation losses count, and `fit` runs the module's training trace if `noise` is wanted.
    `features` is the shape of what is given, without the batch dimension.
    """

    def __init__(
        self,
        module: HubModule,
        may_train: Sequence[bool],
        noise: bool,
        output: str | None,
        features: tuple[int, ...],
    ) -> None:
        # The dtypes of a SavedModel are fixed, whatever the policy.
        super().__init__(name="module", dtype="float32", autocast=False)
        self.supports_jit = False  # XLA has no strings and no tables
        self.loaded = module.loaded  # tracked by TensorFlow, so that tables are exported
        self._function = module.function
        self._losses_of_module = module.losses
        self._noise = noise
        self._takes_training = module.takes_training
        self._output = output
        self._features = features
        self.adopted = tuple(
            self._adopt(variable, trains)
            for variable, trains in zip(module.variables, may_train, strict=True)
        )
        self._build_at_init()

    def _adopt(self, variable: tf.Variable, trains: bool) -> keras.Variable:
        """Returns `variable` as one of Keras, tracked by this layer."""
        adopted = keras.Variable(
            variable,
            trainable=trains,
            dtype=variable.dtype.name,
            autocast=False,
            name=variable.name.split(":")[0].replace("/", "."),
        )
        # Where Keras copied it, training would change the copy and the module stay as it was.
        if adopted.value is not variable:
            raise RuntimeError(
                f"Keras {keras.version()} copies tf.Variables; kft needs them shared"
            )
        self._track_variable(adopted)
        return adopted

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the features of `inputs`."""
        unfrozen = bool(self.trainable_variables)
        if self._takes_training:
            given = self._function(inputs, training=bool(training) and self._noise and unfrozen)
        else:
            given = self._function(inputs)
        if unfrozen:
            for loss in self._losses_of_module:
                self.add_loss(loss())
        features = given[self._output] if isinstance(given, dict) else given
        return tf.ensure_shape(features, (None, *self._features))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the features, the batch of unknown size."""
        return (None, *self._features)

    def save_own_variables(self, store: Any) -> None:
        """Stores the variables in the module's own order, whatever may train."""
        for number, variable in enumerate(self.adopted):
            store[str(number)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Reads what `save_own_variables` stored."""
        for number, variable in enumerate(self.adopted):
            variable.assign(store[str(number)])
