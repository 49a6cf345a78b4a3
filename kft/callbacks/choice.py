"""Finds the layers that the arguments of a callback name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import keras

from kft.errors import ConfigError
from kft.messages import closest
from kft.settings.component import NO_PATTERN

Layers: TypeAlias = keras.layers.Layer | str | Sequence[keras.layers.Layer | str]


def choose(model: keras.Model, layers: Layers, where: str) -> list[keras.layers.Layer]:
    """Returns the layers of `model` that `layers` means, at any depth of nesting.

    A layer, which may be a model inside the model, means itself and all inside it. A string is a
    regular expression that matches the whole name of a layer: it also fits a model that has been
    saved and loaded, whose layers are other objects.

    Raises:
        ConfigError: The model has no such layer; `where` names the setting.
    """
    chosen = [layers] if isinstance(layers, str | keras.layers.Layer) else list(layers)
    if not chosen:
        raise ConfigError(where, "is empty", "Name at least one layer")
    found: dict[int, keras.layers.Layer] = {}
    for one in chosen:
        found.update((id(layer), layer) for layer in meant(model, one, where))
    return list(found.values())


def meant(
    model: keras.Model, one: keras.layers.Layer | str, where: str
) -> list[keras.layers.Layer]:
    """Returns the layers of `model` that one layer or pattern means."""
    inside = [layer for layer in all_layers([model]) if layer is not model]
    if not isinstance(one, str):
        if any(layer is one for layer in inside):
            return [one]
        raise ConfigError(
            where,
            f"{one.name!r} is no layer of the model {model.name!r} that is being fitted",
            "Give layers of that very model; where it was loaded from a file, give names",
        )
    try:
        found = [layer for layer in inside if re.fullmatch(one, layer.name)]
    except NO_PATTERN as error:
        raise ConfigError(
            where,
            f"{one!r} is no regular expression: {error}",
            "Give a layer name, or a regular expression as of Python's re",
        ) from error
    if not found:
        known = closest(one, {layer.name for layer in inside})
        later = "" if model.built else "; if the model makes it when called, call it once before"
        raise ConfigError(
            where,
            f"{one!r} matches no layer of the model {model.name!r}{known}",
            "Give a name, or a regular expression of whole names, such as 'block_1[3-6]_.*'"
            + later,
        )
    return found


def all_layers(layers: Iterable[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Returns `layers` and all layers inside them once, each before those inside it."""
    found: dict[int, keras.layers.Layer] = {}
    for layer in layers:
        found.setdefault(id(layer), layer)
        for inner in all_layers(layer._layers):
            found.setdefault(id(inner), inner)
    return list(found.values())


def is_batch_norm(layer: keras.layers.Layer) -> bool:
    """Says whether `layer` keeps statistics of its batches while it is trainable."""
    return isinstance(layer, keras.layers.BatchNormalization)
