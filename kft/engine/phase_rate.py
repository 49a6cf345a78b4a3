"""Computes the learning rate of a phase within the graph."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kft.layers.precision import unscaled
from kft.recipe.schedule import Schedule


@keras.saving.register_keras_serializable("kft")
class PhaseRate(keras.optimizers.schedules.LearningRateSchedule):
    """``learning_rate * scale * schedule.share(step, …)`` at every optimizer step.

    Attributes:
        scale: A float32 variable, 1 at first, which callbacks lower while the phase runs.
    """

    def __init__(
        self, learning_rate: float, schedule: Schedule, epochs: int, steps_per_epoch: int
    ) -> None:
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.scale = tf.Variable(1.0, trainable=False, name="learning_rate_scale")

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the rate of optimizer step `step`, counted from 0; a float32 scalar."""
        share = self.schedule.share(tf.cast(step, "float32"), self.steps_per_epoch, self.epochs)
        return self.learning_rate * self.scale * share

    def get_config(self) -> dict[str, Any]:
        """Returns the settings, for Keras's saving."""
        return {
            "learning_rate": self.learning_rate,
            "schedule": self.schedule.model_dump(mode="json"),
            "epochs": self.epochs,
            "steps_per_epoch": self.steps_per_epoch,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PhaseRate:
        """Returns the rate that `get_config` described."""
        return cls(**{**config, "schedule": Schedule.model_validate(config["schedule"])})


def rate_of(optimizer: keras.optimizers.Optimizer) -> PhaseRate:
    """Returns the rate of `optimizer`, or of the one inside if it scales the loss."""
    rate: PhaseRate = unscaled(optimizer)._learning_rate
    return rate
