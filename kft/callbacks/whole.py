"""Refusing a model whose layers or weights are not all there when ``fit`` begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kft.errors import ConfigError

CALL_IT = "Call it once on a batch before fit, or give it an Input"


def refuse_unbuilt(callback: str, model: keras.Model) -> None:
    """Raises ConfigError if `model` makes its weights only when it is called."""
    if not model.built or not model.weights:
        raise ConfigError(callback, f"the model {model.name!r} has no weights yet", CALL_IT)


def refuse_gained(
    callback: str,
    before: Sequence[keras.Variable | keras.layers.Layer],
    now: Sequence[keras.Variable | keras.layers.Layer],
) -> None:
    """Raises ConfigError if there are parts `now` that were not there `before` the fit.

    A layer may make its weights, or other layers, when it is first called: in the first step.
    """
    known = {id(part) for part in before}
    gained = [part.path or part.name for part in now if id(part) not in known]
    if gained:
        raise ConfigError(
            callback,
            f"the model has made {gained[0]!r} since fit began, {len(gained)} parts in all, which "
            "this callback did not reach",
            "Call the model once on a batch before fit",
        )


def is_finite(value: Any) -> bool:
    """Says whether all numbers of an array are finite."""
    return bool(np.isfinite(value).all())
