"""Recurrent layers as a graph that runs anywhere.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def without_cudnn(model: keras.Model) -> Iterator[None]:
    """Has `model` traced into ops that every device has.

    Where TensorFlow sees a GPU, Keras 3.15 traces an LSTM or GRU into an op of cuDNN, which a
    server without a GPU cannot load.
    """
    kinds = (keras.layers.LSTM, keras.layers.GRU)
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, kinds)]
    before = [layer.use_cudnn for layer in layers]
    for layer in layers:
        layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, use in zip(layers, before, strict=True):
            layer.use_cudnn = use
