"""Keeping batch normalisation as it was pretrained."""

from __future__ import annotations

from typing import Any

import keras

from kft.callbacks.choice import Layers, all_layers, choose, is_batch_norm
from kft.callbacks.trainable import ChangesTraining, refuse, set_trainable
from kft.callbacks.whole import CALL_IT, refuse_gained
from kft.errors import ConfigError


class FreezeBatchNorm(ChangesTraining):
    """Keeps batch normalisation in inference mode, and its weights as they are, during ``fit``.

    Making a backbone trainable makes its batch normalisation forget the pretrained statistics for
    those of your batches. Calling it with ``training=False`` does not help within a Functional
    model: Keras 3 overrides that in ``fit`` (keras-team/keras#20285).

    Attributes:
        layers: Where, as `UnfreezeBackbone` takes them; None means the whole model, which is
            wrong where a head of your own normalises by batches.

    Raises:
        ConfigError: When ``fit`` begins: there is none, or the optimizer has been trained with it
            and uses EMA.

    Example:
        >>> import keras, numpy as np
        >>> from kft.callbacks import FreezeBatchNorm
        >>> norm = keras.layers.BatchNormalization()
        >>> model = keras.Sequential([keras.Input((8,)), norm, keras.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> x, y = np.random.rand(32, 8), np.random.rand(32)
        >>> history = model.fit(x, y, callbacks=[FreezeBatchNorm()], verbose=0)
        >>> float(abs(norm.moving_mean.numpy()).max())
        0.0
    """

    in_a_run = "Leave it out: the 'batch_norm' of the backbone is 'frozen' unless you say otherwise"

    def __init__(self, layers: Layers | None = None) -> None:
        super().__init__()
        self._layers = layers

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Freezes them."""
        self._norms = norms = self._found()
        if not norms:
            fix = "Leave it out" if self.model.built else CALL_IT
            raise ConfigError("FreezeBatchNorm", "there is no batch normalisation there", fix)
        if self.model.optimizer.built and any(norm.trainable for norm in norms):
            refuse("FreezeBatchNorm", self.model.optimizer)
        set_trainable(self.model, trained=[], frozen=norms)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Refuses batch normalisation that was added since, which is not frozen."""
        refuse_gained("FreezeBatchNorm", self._norms, self._found())

    def _found(self) -> list[keras.layers.Layer]:
        within = [self.model]
        if self._layers is not None:
            within = choose(self.model, self._layers, "FreezeBatchNorm.layers")
        return [layer for layer in all_layers(within) if is_batch_norm(layer)]
