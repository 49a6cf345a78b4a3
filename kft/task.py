"""A task is a backbone with a head on it: the thing that is trained, scored and exported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kft.backbone import Backbone
from kft.data import Target
from kft.errors import ConfigError
from kft.head import Head
from kft.input import Input
from kft.storage.atomic import replacing

if TYPE_CHECKING:
    import keras

# Bytes that HDF5 takes for one variable besides its values, at most.
HDF5_OVERHEAD = 4096


@dataclass(frozen=True, eq=False)
class Task:
    """The model under training and what belongs to it.

    Attributes:
        model: Decoded inputs in, predictions out. A layer of kft's keeps the backbone in inference
            mode; what other programs load is made of ``backbone.model`` and `head_model`.
        head_model: Features ``(batch, d)`` in, predictions out; shares the head of `model`.
    """

    model: keras.Model
    head_model: keras.Model
    backbone: Backbone
    head: Head
    target: Target
    input: Input


def assemble(backbone: Backbone, head: Head, target: Target, input: Input) -> Task:
    """Returns the task that maps decoded examples of `input` to predictions of `target`.

    Raises:
        ConfigError: Examples have no one shape, so that no batch could hold them.
    """
    import keras

    if not input.spec.shape.is_fully_defined():
        raise ConfigError(
            where="data.input",
            problem=f"gives examples of the shape {input.spec.shape}, which may vary, and those of "
            "a batch have one",
            fix="Pad or cut them to one shape in its decode, and say so in its spec",
        )
    features = keras.Input(backbone.model.output_shape[1:], dtype="float32", name="features")
    head_model = keras.Model(features, head.outputs(features, target), name="head")
    inputs = keras.Input(input.spec.shape, dtype=input.spec.dtype.name, name="inputs")
    outputs = head_model(backbone.applied()(inputs))
    model = keras.Model(inputs, outputs, name="task")
    return Task(model, head_model, backbone, head, target, input)


def save_weights(task: Task, path: Path) -> None:
    """Writes the weights of `task` to `path`, without the state of its last optimizer.

    Raises:
        OSError: The disk is full, found before HDF5 begins: h5py 3 ends the process when it
            runs out of room (seen with h5py 3.14).
    """
    import keras

    # The task's own model is compiled, and Keras would write the optimizer's slots with it.
    bare = keras.Model(task.model.input, task.model.output)
    variables = [variable.value for variable in bare.variables]
    room = sum(value.dtype.size * math.prod(value.shape) + HDF5_OVERHEAD for value in variables)
    block = bytes(1 << 20)
    with replacing(path) as partial:
        with partial.open("wb") as file:
            for start in range(0, room, len(block)):
                file.write(block[: room - start])
        partial.unlink()
        bare.save_weights(partial)
