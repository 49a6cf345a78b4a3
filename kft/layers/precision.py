"""The number format that a backbone computes in; weights and the head are always float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import keras

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
# The compute capabilities from which on GPUs have units that multiply these formats.
FLOAT16_UNITS = (7, 0)  # Volta
BFLOAT16_UNITS = (8, 0)  # Ampere


def speed_note(precision: Precision, gpu: str, capability: tuple[int, int] | None) -> str | None:
    """Why another precision would be faster on a GPU of a compute `capability`; else None."""
    if capability is None:
        return None
    fastest = "float32"
    if capability >= FLOAT16_UNITS:
        fastest = "mixed_bfloat16" if capability >= BFLOAT16_UNITS else "mixed_float16"
    has_units = {
        "float32": fastest == "float32",
        "mixed_float16": capability >= FLOAT16_UNITS,
        "mixed_bfloat16": capability >= BFLOAT16_UNITS,
    }
    if has_units[precision]:
        return None
    if precision == "float32":
        return f"precision {fastest!r} is faster on {gpu}, and may change scores a little"
    return f"{gpu} has no units for {precision!r}, which makes it slow. Use {fastest!r}"


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Makes the layers built inside compute in `precision`; Keras knows this only as a global."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def compute_dtypes(model: keras.Model) -> set[str]:
    """Returns the dtypes that the layers of `model`, however deep inside, compute in."""
    return {layer.compute_dtype for layer in model._flatten_layers()}


def loss_scaled(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> keras.optimizers.Optimizer:
    """Returns `optimizer`, with the loss scaled if `model` trains layers in float16.

    Small gradients would be 0 in float16. A step whose gradients overflow is left out, and the
    scale halved. Keras adds this by itself only to a model whose own policy is ``mixed_float16``,
    and looks at no layer. On several devices Keras 3.15 asks the first alone whether its gradients
    are finite; hence `replicated.take_sums`.
    """
    import keras

    trained = {layer.compute_dtype for layer in model._flatten_layers() if trains(layer)}
    if "float16" not in trained:
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def unscaled(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns the optimizer that takes the steps: the one inside, where another scales the loss."""
    import keras

    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return optimizer.inner_optimizer if scales else optimizer


def trains(layer: keras.layers.Layer) -> bool:
    """Says whether `layer` itself has weights that train."""
    return any(variable.trainable for variable in layer._trainable_variables)
