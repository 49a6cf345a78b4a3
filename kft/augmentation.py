"""The augmentation contract: how training examples are varied at random."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from kft.settings.component import Component

if TYPE_CHECKING:
    import tensorflow as tf


class Augmentation(Component):
    """Makes random variants of examples."""

    role: ClassVar[str] = "augmentation"

    @abstractmethod
    def apply(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Returns a variant of each of `inputs`, ``(batch, …)``, of the same shape and dtype.

        The dtype is the input's to choose. `seeds` is int64 ``(batch, 2)``; a variant depends on
        its own seed alone. Python conditions on tensors need a `tf.function` around them.
        """
