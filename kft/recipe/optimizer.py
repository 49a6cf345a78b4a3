"""Optimizers: one class for each, its fields are the settings."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat

from kft.settings.component import Component

if TYPE_CHECKING:
    import keras

Share = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Component):
    """Builds a Keras optimizer.

    Attributes:
        learning_rate: The highest rate of the phase; its schedule takes shares of it.
    """

    role: ClassVar[str] = "optimizer"

    learning_rate: PositiveFloat

    @abstractmethod
    def build(
        self, rate: keras.optimizers.schedules.LearningRateSchedule, clip_norm: float | None
    ) -> keras.optimizers.Optimizer:
        """Returns a fresh optimizer: its state belongs to one set of trainable weights.

        `clip_norm` bounds the norm of all gradients together; None does not.
        """


class Sgd(Optimizer):
    """Stochastic gradient descent.

    Attributes:
        nesterov: Whether the momentum looks ahead (Nesterov 1983).
    """

    learning_rate: PositiveFloat = 0.01
    momentum: Share = 0.0
    nesterov: bool = False

    def build(
        self, rate: keras.optimizers.schedules.LearningRateSchedule, clip_norm: float | None
    ) -> keras.optimizers.Optimizer:
        import keras

        return keras.optimizers.SGD(
            rate, momentum=self.momentum, nesterov=self.nesterov, global_clipnorm=clip_norm
        )


class Adam(Optimizer):
    """Adam (Kingma and Ba 2014)."""

    learning_rate: PositiveFloat = 1e-3
    beta_1: Share = 0.9
    beta_2: Share = 0.999

    def build(
        self, rate: keras.optimizers.schedules.LearningRateSchedule, clip_norm: float | None
    ) -> keras.optimizers.Optimizer:
        import keras

        return keras.optimizers.Adam(
            rate, beta_1=self.beta_1, beta_2=self.beta_2, global_clipnorm=clip_norm
        )


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    Attributes:
        weight_decay: Share of each weight, times the rate, taken off at every step.
    """

    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.004
    beta_1: Share = 0.9
    beta_2: Share = 0.999

    def build(
        self, rate: keras.optimizers.schedules.LearningRateSchedule, clip_norm: float | None
    ) -> keras.optimizers.Optimizer:
        import keras

        return keras.optimizers.AdamW(
            rate,
            weight_decay=self.weight_decay,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            global_clipnorm=clip_norm,
        )


class RmsProp(Optimizer):
    """RMSprop (Tieleman and Hinton 2012)."""

    learning_rate: PositiveFloat = 1e-3
    rho: Share = 0.9
    momentum: Share = 0.0

    def build(
        self, rate: keras.optimizers.schedules.LearningRateSchedule, clip_norm: float | None
    ) -> keras.optimizers.Optimizer:
        import keras

        return keras.optimizers.RMSprop(
            rate, rho=self.rho, momentum=self.momentum, global_clipnorm=clip_norm
        )


class Lion(Optimizer):
    """Lion (Chen et al. 2023): steps by the sign of the momentum, so its rate is small.

    Attributes:
        weight_decay: Share of each weight, times the rate, taken off at every step.
    """

    learning_rate: PositiveFloat = 1e-4
    weight_decay: NonNegativeFloat = 0.0
    beta_1: Share = 0.9
    beta_2: Share = 0.99

    def build(
        self, rate: keras.optimizers.schedules.LearningRateSchedule, clip_norm: float | None
    ) -> keras.optimizers.Optimizer:
        import keras

        return keras.optimizers.Lion(
            rate,
            weight_decay=self.weight_decay or None,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            global_clipnorm=clip_norm,
        )
