"""Tensors of one shape as inputs: numbers or text that need no reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PositiveInt

from kft.errors import DataError
from kft.input import Input, Signature

if TYPE_CHECKING:
    import tensorflow as tf


class Tensors(Input):
    """Tensors of one shape, taken as they are and never varied.

    Attributes:
        shape: Of one example; empty for a scalar.
        dtype: As TensorFlow calls it, such as ``float32``.
    """

    shape: tuple[PositiveInt, ...]
    dtype: str = "float32"

    @property
    def spec(self) -> tf.TensorSpec:
        import tensorflow as tf

        return tf.TensorSpec(self.shape, tf.dtypes.as_dtype(self.dtype))

    @property
    def is_augmented(self) -> bool:
        return False

    def encode(self, example: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        found, wanted = example.dtype, self.spec.dtype
        widened = wanted.is_floating and (found.is_floating or found.is_integer)
        if not (found == wanted or widened) or not self.spec.shape.is_compatible_with(
            example.shape
        ):
            raise DataError(
                where="data.input",
                problem=f"takes {self.dtype} of shape {self.shape}, but the data holds "
                f"{found.name} of shape {tuple(example.shape)}",
                fix="Set its shape and dtype to those",
            )
        return tf.cast(example, wanted) if widened else example

    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        return raw

    def augment(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return inputs

    def signatures(self) -> tuple[Signature, ...]:
        import tensorflow as tf

        spec = tf.TensorSpec((None, *self.shape), self.spec.dtype, name="inputs")
        return (Signature("serving_default", spec, tf.identity),)
