"""Undoes the steps after which training diverges."""

from __future__ import annotations

import math
import warnings
from typing import Any

import keras

from kft.callbacks.trainable import ChangesTraining, prepare, rate_of
from kft.callbacks.whole import is_finite, refuse_unbuilt
from kft.errors import ConfigError
from kft.layers.precision import unscaled


class DivergenceGuard(ChangesTraining):
    """Goes back to the last good weights, at a lower rate, where the loss diverges.

    Weights and optimizer become what they were before the epoch's first step, and the rest of the
    epoch goes on from there. If the loss of that first step was too high already, the step before
    had gone wrong, and they become what they were before the first step of the epoch before.
    TerminateOnNaN would end it all, with weights that are not numbers. Each time a warning says
    what happened; after `max_rollbacks` the good weights are put back once more and the fit ends.
    No loss is measured after the last step of a fit: it is undone only if it leaves weights that
    are not numbers.

    Attributes:
        factor: What the learning rate is multiplied by each time.
        max_rollbacks: How often, over all calls of ``fit`` with this callback.
        loss_above: A training loss above which it has blown up, without being NaN or infinite
            yet: as Keras shows it, the mean over the epoch so far. None is none.
        rollbacks: How often it has happened.

    Raises:
        ConfigError: When ``fit`` begins: the rate of the optimizer is a schedule, or the model has
            no weights yet.

    Example:
        >>> import keras, numpy as np, warnings
        >>> from kft.callbacks import DivergenceGuard
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer=keras.optimizers.SGD(1e30), loss="mse")
        >>> x, y = np.random.rand(64, 8), np.random.rand(64)
        >>> guard = DivergenceGuard(factor=1e-31)
        >>> with warnings.catch_warnings(action="ignore"):
        ...     history = model.fit(x, y, epochs=2, callbacks=[guard], verbose=0).history
        >>> guard.rollbacks, bool(np.isfinite(history["loss"][-1]))
        (1, True)
    """

    in_a_run = "Leave it out: the engine does this"

    def __init__(
        self, factor: float = 0.5, max_rollbacks: int = 3, loss_above: float | None = None
    ) -> None:
        super().__init__()
        if not 0 < factor < 1:
            raise ConfigError(
                "DivergenceGuard.factor", f"got {factor}", "Set it to a number between 0 and 1"
            )
        self._factor = factor
        self._max_rollbacks = max_rollbacks
        self._bound = math.inf if loss_above is None else loss_above
        # Of the beginning of this epoch, and of the last one whose first loss was good.
        self._copy: list[tuple[keras.Variable, Any]] = []
        self._good: list[tuple[keras.Variable, Any]] = []
        self._good_since = 0
        self.rollbacks = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Refuses a rate that cannot be lowered."""
        if rate_of(self.model.optimizer) is None:
            raise ConfigError(
                "DivergenceGuard",
                "the learning rate of the optimizer is not one number, which could be lowered, but "
                "a schedule or several",
                "Give the optimizer a number",
            )
        refuse_unbuilt("DivergenceGuard", self.model)
        self._copy = []
        if not {id(v) for v in self.model.weights} <= {id(v) for v, _ in self._good}:
            self._good = []  # Of another model.

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch."""
        self._epoch = epoch
        self._begun = False
        self._steps = 0
        self._logged: tuple[str, ...] = ()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Copies weights and optimizer before the first step, after all other callbacks."""
        if self._begun:
            return
        self._begun = True
        if not self.model.optimizer.built:
            prepare(self.model)
        state = [*self.model.weights, *self.model.optimizer.variables]
        self._copy = [(variable, variable.numpy().copy()) for variable in state]
        # The last step of the epoch before may have gone wrong after its loss was computed.
        if self._good and not all(is_finite(value) for _, value in self._copy):
            self._go_back("weights that are not numbers")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Goes back if the loss is not finite, or too large."""
        logs = logs or {}
        loss = float(logs.get("loss", 0.0))
        self._logged = tuple(logs)
        self._steps += 1
        if not math.isfinite(loss) or loss > self._bound:
            self._go_back(f"a loss of {loss:g}")
        elif self._steps == 1:
            self._good, self._good_since = self._copy, self._epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Makes loss and metrics of an epoch that ended by going back NaN: no step followed.

        Keras would show 0 for them, the best error that there is.
        """
        if not self._steps and logs is not None:
            logs.update(dict.fromkeys(self._logged, math.nan))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Undoes a last step that left weights that are not numbers."""
        if self._good and not all(is_finite(weight.numpy()) for weight in self.model.weights):
            self._go_back("weights that are not numbers")

    def _go_back(self, found: str) -> None:
        """Restores what was good and lowers the rate, or ends the fit."""
        rate = rate_of(self.model.optimizer) or 0.0
        # An optimizer may be a new one, or have taken on variables, since what was good.
        state = {id(variable): (variable, value) for variable, value in self._copy + self._good}
        self._copy = list(state.values())
        for variable, value in self._copy:
            variable.assign(value)
        self.model.reset_metrics()
        self._steps = 0
        self.rollbacks += 1
        same = not self._good or self._good_since == self._epoch
        since = "its beginning" if same else f"the beginning of epoch {self._good_since + 1}"
        what = f"Epoch {self._epoch + 1} had {found}: went back to {since}"
        if self.rollbacks > self._max_rollbacks:
            self.model.stop_training = True
            warnings.warn(f"{what} and ended, after {self._max_rollbacks} times", stacklevel=2)
            return
        unscaled(self.model.optimizer).learning_rate = rate * self._factor
        warnings.warn(
            f"{what} and lowered the learning rate to {rate * self._factor:g}", stacklevel=2
        )
