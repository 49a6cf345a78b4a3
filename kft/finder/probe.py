"""Raises the learning rate during a range test, and records the losses.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft.finder.found_rate import FEWEST_STEPS, smooth

RECENT = 5
BLOWN_UP = 4.0


class Dial(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that is set from outside, whatever the step."""

    def __init__(self) -> None:
        self.rate = tf.Variable(0.0, trainable=False)

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the rate as it is set now."""
        return self.rate.read_value()

    def get_config(self) -> dict[str, Any]:
        """Returns nothing: it is not for saving."""
        return {}


class Probe(keras.callbacks.Callback):
    """Raises the rate at each step and writes down the loss of each batch."""

    def __init__(self, rates: Sequence[float]) -> None:
        super().__init__()
        self.rate = Dial()
        self.losses: list[float] = []
        self._rates = rates

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the rate, and forgets the batches before: Keras shows the mean of an epoch."""
        self.rate.rate.assign(self._rates[batch])
        self.model.reset_metrics()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stops where the loss has blown up."""
        loss = float((logs or {})["loss"])
        if not math.isfinite(loss):
            self.model.stop_training = True
            return
        self.losses.append(loss)
        recent = float(np.mean(self.losses[-RECENT:]))
        if len(self.losses) >= FEWEST_STEPS and recent > BLOWN_UP * min(smooth(self.losses)):
            self.model.stop_training = True
