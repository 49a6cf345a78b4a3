"""Tensors of one shape as inputs: numbers or text that need no reading."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from kft.errors import DataError
from kft.input import Input, Signature
from kft.settings.bounds import MOST_NUMBERS

if TYPE_CHECKING:
    import tensorflow as tf


Whole = Literal["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
Broken = Literal["bfloat16", "float16", "float32", "float64", "complex64", "complex128"]


class Tensors(Input):
    """Tensors of one shape, taken as they are and never varied.

    Attributes:
        shape: Of one example; empty for a scalar.
        dtype: As TensorFlow calls it, such as ``float32``.
    """

    shape: Annotated[tuple[PositiveInt, ...], Field(max_length=8)]
    dtype: Whole | Broken | Literal["bool", "string"] = "float32"

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        numbers = math.prod(self.shape)
        if numbers > MOST_NUMBERS:
            raise PydanticCustomError(
                "shape", f"'shape' is of {numbers} numbers, expected up to {MOST_NUMBERS}"
            )
        return self

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
                fix="Set shape and dtype of data.input to those of the data",
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
