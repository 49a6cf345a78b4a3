"""Learning-rate schedules within a phase."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from kft.settings.component import Component

if TYPE_CHECKING:
    import tensorflow as tf


class Schedule(Component):
    """Shapes the learning rate of a phase.

    Attributes:
        warmup_epochs: The rate grows evenly from nearly 0 over so many epochs; may be a part of
            one. The schedule proper begins after it, with the full rate.
    """

    role: ClassVar[str] = "schedule"

    warmup_epochs: NonNegativeFloat = 0.0

    @abstractmethod
    def after_warmup(self, elapsed: tf.Tensor, total: float) -> tf.Tensor:
        """Returns the share of the rate, from 0 to 1, `elapsed` of `total` epochs after warm-up."""

    def share(self, step: tf.Tensor, steps_per_epoch: int, epochs: int) -> tf.Tensor:
        """Returns the share of the rate at optimizer step `step`, a float counted from 0."""
        import tensorflow as tf

        warmup = min(self.warmup_epochs, float(epochs))
        epoch = step / steps_per_epoch
        shaped = self.after_warmup(tf.maximum(epoch - warmup, 0.0), max(epochs - warmup, 1e-9))
        if not warmup:
            return shaped
        # The first step is one step up, not 0, which would waste it; the last has the full rate.
        rising = tf.minimum((step + 1) / (warmup * steps_per_epoch), 1.0)
        return tf.where(epoch < warmup, rising, shaped)


class Constant(Schedule):
    """The full rate throughout."""

    def after_warmup(self, elapsed: tf.Tensor, total: float) -> tf.Tensor:
        import tensorflow as tf

        return tf.ones_like(elapsed)


class Cosine(Schedule):
    """Half a cosine wave down to `final` (Loshchilov and Hutter 2017).

    Attributes:
        final: Share of the rate at the end, after the last step.
    """

    final: Annotated[float, Field(ge=0, le=1)] = 0.0

    def after_warmup(self, elapsed: tf.Tensor, total: float) -> tf.Tensor:
        import tensorflow as tf

        wave = (1 + tf.cos(math.pi * tf.minimum(elapsed / total, 1.0))) / 2
        return self.final + (1 - self.final) * wave


class Exponential(Schedule):
    """The same factor every epoch.

    Attributes:
        decay: Factor of the rate for each epoch.
    """

    decay: Annotated[float, Field(gt=0, le=1)] = 0.9

    def after_warmup(self, elapsed: tf.Tensor, total: float) -> tf.Tensor:
        import tensorflow as tf

        return tf.pow(tf.cast(self.decay, elapsed.dtype), elapsed)


class Plateau(Schedule):
    """The full rate, cut whenever the monitored validation score stops getting better.

    Attributes:
        factor: Of the rate at each cut.
        patience: Epochs without a better score before a cut.
    """

    factor: Annotated[PositiveFloat, Field(lt=1)] = 0.5
    patience: PositiveInt = 2

    def after_warmup(self, elapsed: tf.Tensor, total: float) -> tf.Tensor:
        import tensorflow as tf

        return tf.ones_like(elapsed)
