"""The best weights over several calls of fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import keras

from kft.callbacks.whole import CALL_IT, is_finite
from kft.errors import ConfigError
from kft.messages import closest
from kft.scoring.direction import HIGHER_IS_BETTER, lower_is_better, not_nan


class BestAcrossPhases(keras.callbacks.Callback):
    """Keeps the weights of the best epoch over several calls of ``fit``.

    Give the same callback to each of them, and call `restore` at the end. EarlyStopping and
    ModelCheckpoint start over with each ``fit``, so the weights that they keep of a second phase
    may be worse than those of the first. Ties go to the lower validation loss, then to the earlier
    epoch. A model that is loaded from a file in between may take the other's place.

    Attributes:
        monitor: What is compared, a name in the logs.
        mode: Whether ``max`` or ``min`` is best. None knows it of a loss, an error, an accuracy,
            AUC, precision, recall, F1 and R².
        best: The best value so far, or None.
        epoch: When it was, counted from 0, or None.
        fit: In which call of ``fit`` it was, counted from 0, or None.

    Raises:
        ConfigError: None knows no mode for the monitor; or at the end of an epoch, the monitor is
            not in the logs.

    Example:
        >>> import keras, numpy as np
        >>> from kft.callbacks import BestAcrossPhases
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        >>> x, y = np.random.rand(32, 8), np.random.rand(32)
        >>> best = BestAcrossPhases("val_loss")
        >>> for rate in (0.1, 100.0):  # The second phase does harm.
        ...     model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
        ...     history = model.fit(
        ...         x, y, validation_data=(x, y), epochs=2, callbacks=[best], verbose=0
        ...     )
        >>> best.restore()
        >>> best.fit, bool(np.isclose(model.evaluate(x, y, verbose=0), best.best))
        (0, True)
    """

    def __init__(
        self, monitor: str = "val_loss", mode: Literal["min", "max"] | None = None
    ) -> None:
        super().__init__()
        self._monitor = monitor
        self._sign = sign_of(monitor, mode)
        self._key = (-math.inf, -math.inf)
        self._weights: list[Any] = []
        self._fits = 0
        self.best: float | None = None
        self.epoch: int | None = None
        self.fit: int | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Counts the calls of fit."""
        self._check_model(self.model)
        self._fits += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Copies the weights if the epoch was the best so far."""
        logs = logs or {}
        if self._monitor not in logs:
            raise ConfigError(
                "BestAcrossPhases.monitor",
                f"there is no {self._monitor!r} in the logs{closest(self._monitor, logs)}",
                "Set monitor to one of those; those with val_ need validation_data",
            )
        value = float(logs[self._monitor])
        key = (not_nan(self._sign * value), not_nan(-float(logs.get("val_loss", 0.0))))
        if key > self._key and all(is_finite(weight.numpy()) for weight in self.model.weights):
            self._key = key
            self._weights = [variable.numpy().copy() for variable in self.model.weights]
            self.best, self.epoch, self.fit = value, epoch, self._fits - 1

    def restore(self) -> None:
        """Puts the best weights into the model of the latest ``fit``.

        Raises:
            ConfigError: No epoch has ended yet, or none had a number to compare; or the model has
                got other weights since.
        """
        if not self._weights:
            raise ConfigError("BestAcrossPhases", "has seen no epoch yet", "Call fit first")
        self._check_model(self.model)
        for variable, value in zip(self.model.weights, self._weights, strict=True):
            variable.assign(value)

    def _check_model(self, model: keras.Model) -> None:
        """Raises ConfigError if `model` is another than the weights are of."""
        shapes = [weight.shape for weight in self._weights]
        if shapes and shapes != [tuple(weight.shape) for weight in model.weights]:
            raise ConfigError(
                "BestAcrossPhases",
                f"the model {model.name!r} has other weights than the one of the fit before",
                "Take a new callback for it" if model.built else CALL_IT,
            )


def sign_of(monitor: str, mode: str | None) -> float:
    """Returns 1 where the higher is better, -1 where the lower is."""
    if mode is None:
        if lower_is_better(monitor):
            mode = "min"
        elif monitor.endswith(HIGHER_IS_BETTER):
            mode = "max"
    signs: Mapping[str | None, float] = {"min": -1.0, "max": 1.0}
    if mode not in signs:
        raise ConfigError(
            "BestAcrossPhases.mode",
            f"whether a high {monitor!r} is good is not known" if mode is None else f"got {mode!r}",
            "Set mode to 'min' or 'max'",
        )
    return signs[mode]
