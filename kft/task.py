"""A task is a backbone with a head on it: the thing that is trained, scored and exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft.backbone import Backbone
from kft.data import Target
from kft.head import Head
from kft.input import Input

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Task:
    """The model under training and what belongs to it.

    Attributes:
        model: Decoded inputs in, predictions out.
        head_model: Features ``(batch, d)`` in, predictions out; shares the head of `model`.
    """

    model: keras.Model
    head_model: keras.Model
    backbone: Backbone
    head: Head
    target: Target
    input: Input


def assemble(backbone: Backbone, head: Head, target: Target, input: Input) -> Task:
    """Returns the task that maps decoded examples of `input` to predictions of `target`."""
    import keras

    features = keras.Input(backbone.model.output_shape[1:], dtype="float32", name="features")
    head_model = keras.Model(features, head.outputs(features, target), name="head")
    inputs = keras.Input(input.spec.shape, dtype=input.spec.dtype.name, name="inputs")
    outputs = head_model(backbone.applied()(inputs))
    model = keras.Model(inputs, outputs, name="task")
    return Task(model, head_model, backbone, head, target, input)
