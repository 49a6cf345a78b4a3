"""Builds a model of keras.applications on raw pixels, as one flat graph."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from kft.image.application import Application

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


def build(published: Application, pixels: keras.KerasTensor, pooling: str) -> keras.Model:
    """Returns a model from `pixels`, of 0 to 255 in any dtype, to features ``(batch, d)``.

    The application's layers are layers of this model, not of a model inside it, so that it can be
    cut at any of them. Their names are the same however many models were built before.
    """
    import keras

    kept = None if pooling == "flatten" else pooling
    graph = getattr(keras.applications, published.name)(
        include_top=False,
        weights=None,
        input_tensor=preprocess(pixels, published.preprocessing),
        pooling=kept,
    )
    features = graph.output
    if kept is None:
        features = keras.layers.Flatten(name="flattened")(features)
    model = keras.Model(pixels, features, name=published.name)
    number_from_zero(model)
    return model


def preprocess(pixels: keras.KerasTensor, mode: str) -> keras.KerasTensor:
    """Returns float32 `pixels` as the ``preprocess_input`` of a model with this `mode` would."""
    import keras

    scale: float | list[float] = 1.0
    offset: float | list[float] = 0.0
    if mode == "tf":
        scale, offset = 1 / 127.5, -1.0
    elif mode == "caffe":
        pixels = keras.ops.flip(pixels, axis=-1)
        offset = [-mean for mean in CAFFE_MEAN_BGR]
    elif mode == "torch":
        both = tuple(zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True))
        scale = [1 / (255 * deviation) for _, deviation in both]
        offset = [-mean / deviation for mean, deviation in both]
    rescaled = keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")
    return rescaled(pixels)


def number_from_zero(model: keras.Model) -> None:
    """Renames the layers that Keras named by class and a count of the whole process.

    ``conv2d_94`` becomes ``conv2d`` if it is the lowest of its class, as in a fresh process.
    """
    numbered = defaultdict(list)
    for operation in model.operations:
        prefix, number = split_number(operation.name)
        if prefix.replace("_", "") == type(operation).__name__.lower():
            numbered[prefix].append((number, operation))
    for prefix, found in numbered.items():
        first = min(number for number, _ in found)
        for number, operation in found:
            operation.name = f"{prefix}_{number - first}" if number > first else prefix


def split_number(name: str) -> tuple[str, int]:
    """Returns ``("conv2d", 94)`` for ``conv2d_94``, and ``("conv2d", 0)`` for ``conv2d``."""
    prefix, number = re.fullmatch(r"(.+?)(?:_(\d+))?", name).groups()  # type: ignore[union-attr]
    return prefix, int(number or 0)
