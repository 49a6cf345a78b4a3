"""Cuts a backbone before its first trained layer; what is before is the same in every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Cut:
    """Two models that share the layers of one.

    Attributes:
        prefix: From the inputs to the tensors at the boundary; all of it is frozen.
        suffix: From the boundary to the features; None if the backbone is frozen as a whole.
    """

    prefix: keras.Model
    suffix: keras.Model | None


def cut(model: keras.Model) -> Cut | None:
    """Returns `model` cut before everything that depends on its trainable variables.

    There are several tensors at the boundary where skip connections cross it. None if cutting
    gains nothing, since no weights are before the boundary, or if `model` is partly trained and
    not Functional, so that its graph is unknown.
    """
    import keras
    from keras.src.models import Functional

    if not model.trainable_variables:
        return Cut(model, None)
    if not isinstance(model, Functional):
        return None
    boundary = boundary_tensors(model)
    crossing = boundary[0] if len(boundary) == 1 else boundary
    prefix = keras.Model(model.input, crossing, name="prefix")
    if not prefix.variables:
        return None
    return Cut(prefix, keras.Model(crossing, model.output, name="suffix"))


def boundary_tensors(model: keras.Model) -> list[keras.KerasTensor]:
    """Returns the tensors from frozen layers that trained ones take, input side first."""
    live: set[int] = set()
    boundary: dict[int, keras.KerasTensor] = {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            trains = bool(getattr(node.operation, "trainable_variables", ()))
            inputs = node.arguments.keras_tensors
            if not trains and not any(id(tensor) in live for tensor in inputs):
                continue
            live.update(id(tensor) for tensor in node.outputs)
            boundary |= {id(tensor): tensor for tensor in inputs if id(tensor) not in live}
    return list(boundary.values())
