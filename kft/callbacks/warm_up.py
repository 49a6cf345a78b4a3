"""A rising learning rate."""

from __future__ import annotations

import keras

from kft.callbacks.trainable import updates_of


class WarmUp:
    """Raises the rate of `optimizer` in equal steps to what it is now, within `steps` updates.

    Where another callback sets the rate meanwhile, it rises to that one.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, steps: int) -> None:
        self._optimizer = optimizer
        self._steps = steps
        self._begun = updates_of(optimizer)
        self._set: float | None = None

    def raise_rate(self) -> bool:
        """Sets the rate of the next update and says whether it is the last of the warm-up."""
        found = float(self._optimizer.learning_rate.numpy())
        if found != self._set:
            self._target = found
        # The first update is one step up, not 0, which would waste it.
        done = updates_of(self._optimizer) - self._begun + 1
        share = min(1.0, done / self._steps) if self._steps else 1.0
        self._optimizer.learning_rate = self._target * share
        self._set = float(self._optimizer.learning_rate.numpy())
        return share == 1.0
