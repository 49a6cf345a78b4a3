"""Scaling of pixels before a given model, and pooling of its features to one vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import keras

BYTE = 255.0
Pooling = Literal["avg", "max", "flatten"]


def scaled(inputs: keras.KerasTensor, value_range: tuple[float, float] | None) -> keras.KerasTensor:
    """Returns uint8 `inputs` as float32 in `value_range`; all others, and for None, as they are."""
    import keras

    if value_range is None or inputs.dtype != "uint8":
        return inputs
    low, high = value_range
    rescaled = keras.layers.Rescaling((high - low) / BYTE, low, dtype="float32", name="scaled")
    return rescaled(inputs)


def pooled(features: keras.KerasTensor, pooling: Pooling) -> keras.KerasTensor:
    """Returns `features` as ``(batch, d)``: pooled over all axes between the first and the last."""
    import keras

    if len(features.shape) == 2:
        return features
    if pooling == "flatten":
        return keras.layers.Flatten(name="flattened")(features)
    if len(features.shape) > 3:
        features = keras.layers.Reshape((-1, features.shape[-1]), name="places")(features)
    if pooling == "max":
        return keras.layers.GlobalMaxPooling1D(name="pooled")(features)
    return keras.layers.GlobalAveragePooling1D(name="pooled")(features)


def inlined(model: keras.Model, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """The output of `model` for `inputs`, with its layers, not the model itself, in the graph.

    So a graph of the caller's can be cut between them. Keras has no public way to do so.
    """
    import keras

    # A model that begins with float32 casts what it is given; its layers would not all.
    expected = model.inputs[0].dtype
    if inputs.dtype != expected and expected != "string":
        inputs = keras.layers.Rescaling(1.0, dtype=expected, name="cast")(inputs)
    outputs = model._run_through_graph(inputs, operation_fn=lambda operation: operation)
    return outputs[0] if isinstance(outputs, list) else outputs
