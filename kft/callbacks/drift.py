"""Measures how far fine-tuning has moved a model from its pretrained weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from kft.callbacks.choice import Layers, all_layers, choose, is_batch_norm
from kft.callbacks.whole import refuse_unbuilt
from kft.errors import ConfigError


class DriftMonitor(keras.callbacks.Callback):
    """Logs after each epoch how far the weights have moved: ``drift/<group>``.

    The distance is relative, ``|w - w0| / |w0|`` over all weights of a group together (L2 norms).
    The statistics of batch normalisation are a number of their own, ``drift/<group>/statistics``:
    they move without any gradient, so there even a frozen-looking backbone may drift. Put it
    before CSVLogger and the like in the list of callbacks, so that they see its logs.

    Attributes:
        groups: The layers of each group by the name in the logs; each is what `UnfreezeBackbone`
            takes. None makes a group of each layer of the model that has weights.
        pretrained: A model with the weights to measure from and the same architecture. None
            takes those at the beginning of the first ``fit`` that has this callback, so a fit
            that is resumed in another process needs it.

    Raises:
        ConfigError: When ``fit`` begins: no such layers, or no weights yet.

    Example:
        >>> import keras, numpy as np
        >>> from kft.callbacks import DriftMonitor
        >>> model = keras.Sequential(
        ...     [keras.Input((8,)), keras.layers.Dense(4, name="low"), keras.layers.Dense(1)]
        ... )
        >>> model.get_layer("low").trainable = False
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> x, y = np.random.rand(32, 8), np.random.rand(32)
        >>> drift = DriftMonitor({"backbone": "low", "all": ".*"})
        >>> history = model.fit(x, y, callbacks=[drift], verbose=0).history
        >>> history["drift/backbone"], history["drift/all"][0] > 0
        ([0.0], True)
    """

    def __init__(
        self,
        groups: Mapping[str, Layers] | None = None,
        pretrained: keras.Model | None = None,
    ) -> None:
        super().__init__()
        self._groups = groups
        self._pretrained = pretrained
        self._before: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Copies the weights to measure from, at the first fit."""
        if not self._before:
            model = self.model if self._pretrained is None else self._pretrained
            self._before = {
                name: [variable.numpy() for variable in variables]
                for name, variables in self._variables(model).items()
            }
        self._measured()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the distances to the logs."""
        for name, variables in self._measured().items():
            now = [variable.numpy() for variable in variables]
            if logs is not None:
                logs[f"drift/{name}"] = relative_distance(now, self._before[name])

    def _measured(self) -> dict[str, list[keras.Variable]]:
        """Returns the variables of the model, if they fit the weights to measure from."""
        found = self._variables(self.model)
        shapes = {name: [tuple(v.shape) for v in variables] for name, variables in found.items()}
        if shapes != {name: [v.shape for v in values] for name, values in self._before.items()}:
            raise ConfigError(
                "DriftMonitor",
                f"the model {self.model.name!r} has other weights than those to measure from",
                "Call it once on a batch before fit; give a pretrained model of its architecture",
            )
        return found

    def _variables(self, model: keras.Model) -> dict[str, list[keras.Variable]]:
        """Returns the variables of each number that is logged."""
        refuse_unbuilt("DriftMonitor", model)
        groups = {
            name: choose(model, layers, f"DriftMonitor.groups[{name!r}]")
            for name, layers in (self._groups or {}).items()
        } or {layer.name: [layer] for layer in model.layers if layer.weights}
        found: dict[str, list[keras.Variable]] = {}
        for name, layers in groups.items():
            statistics = statistics_of(layers)
            known = {id(variable) for variable in statistics}
            weights = {id(v): v for layer in layers for v in layer.weights if id(v) not in known}
            found |= {name: list(weights.values()), f"{name}/statistics": statistics}
        for name in self._groups or {}:
            if not found[name] and not found[f"{name}/statistics"]:
                raise ConfigError(
                    f"DriftMonitor.groups[{name!r}]",
                    "these layers have no weights",
                    "Leave the group out",
                )
        return {name: variables for name, variables in found.items() if variables}


def statistics_of(layers: Iterable[keras.layers.Layer]) -> list[keras.Variable]:
    """Returns the moving means and variances of every batch normalisation in `layers`."""
    norms = [layer for layer in all_layers(layers) if is_batch_norm(layer) and layer.built]
    return [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]


def relative_distance(now: list[Any], before: list[Any]) -> float:
    """Returns ``|now - before| / |before|``; weights that were all 0 are measured from 1."""
    squares = sum(float(np.sum(np.square(old, dtype="float64"))) for old in before)
    moved = sum(
        float(np.sum(np.square(new - old, dtype="float64")))
        for new, old in zip(now, before, strict=True)
    )
    return float(np.sqrt(moved / (squares or 1.0)))
