"""The head contract: from features to predictions, and how to score them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from kft.data import Target
from kft.settings.component import Component

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf


class Head(Component):
    """New layers on top of the backbone, trained from the first phase on.

    Example:
        >>> import keras
        >>> from kft import Head, Target
        >>> class Counts(Head):
        ...     def outputs(self, features, target):
        ...         return keras.layers.Dense(len(target.names), "softplus")(features)
        ...
        ...     def loss(self, target):
        ...         return keras.losses.Poisson()
        ...
        ...     def metrics(self):
        ...         return [keras.metrics.MeanAbsoluteError(name="mae")]
        ...
        ...     def served(self, outputs, target):
        ...         return {"counts": outputs}
        >>> Counts().outputs(keras.Input((4,)), Target("value", ("visits", "sales"))).shape
        (None, 2)
    """

    role: ClassVar[str] = "head"

    @abstractmethod
    def outputs(self, features: keras.KerasTensor, target: Target) -> keras.KerasTensor:
        """Returns float32 predictions of shape ``(batch, len(target.names))``.

        `features` has shape ``(batch, d)``. Probabilities come straight from a softmax or sigmoid
        of Keras, whose cross-entropies then take the logits behind them.

        Raises:
            ConfigError: The head cannot predict this kind of target.
        """

    @abstractmethod
    def loss(self, target: Target) -> keras.losses.Loss:
        """Returns a fresh loss to score by; labels are dense float32 ``(batch, k)``.

        Its ``call`` gives ``(batch,)``, or of several labels ``(batch, k)``, as weights are.
        """

    def training_loss(self, target: Target, labels: np.ndarray) -> keras.losses.Loss:
        """Returns a fresh loss to train with, if it is another than that to score by.

        `labels` are those of the training examples, as in a `Split`.
        """
        return self.loss(target)

    @abstractmethod
    def metrics(self) -> list[keras.metrics.Metric]:
        """Returns fresh metrics; the first is the one a report leads with.

        A name that ends in ``loss``, ``error``, ``mae``, ``mse`` or ``rmse`` says that the lower
        is better.
        """

    @abstractmethod
    def served(self, outputs: tf.Tensor, target: Target) -> Mapping[str, tf.Tensor]:
        """The answer of a served model, by name; the first entry is `outputs` as they are."""
