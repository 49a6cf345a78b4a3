"""The backbone contract: the only thing the engine knows of a modality."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from kft.component import Component
from kft.errors import BackboneError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a backbone that a phase may unfreeze.

    Attributes:
        name: What a config calls it.
        variables: Its weights, those of its normalisation included.
    """

    name: str
    variables: tuple[keras.Variable, ...]


@dataclass(frozen=True, eq=False)
class Backbone:
    """A pretrained feature extractor.

    Attributes:
        name: Shown in errors and in the report.
        model: Maps one decoded input batch to float features of shape ``(batch, d)``. Does its
            own preprocessing and pooling, so that the engine and the export need neither.
        stages: Input side first. Together they hold every variable that may train.
        batch_norm: What fine-tuning does with batch normalisation; see `BackboneSource`.

    Raises:
        BackboneError: The features are not of shape ``(batch, d)``.
    """

    name: str
    model: keras.Model
    stages: tuple[Stage, ...]
    batch_norm: Literal["frozen", "inference"] = "frozen"

    def __post_init__(self) -> None:
        shape = self.model.output_shape
        if len(shape) != 2 or shape[1] is None:
            raise BackboneError(
                where=f"backbone {self.name!r}",
                problem=f"gives features of shape {shape}, expected (batch, d)",
                fix="Pool them inside the backbone",
            )

    def train_only(self, stages: Collection[Stage]) -> None:
        """Makes the variables of `stages` trainable and all others of the backbone frozen.

        Sets the whole state, so what an earlier phase left does not matter. Compile afterwards.
        """
        chosen = {id(variable) for stage in stages for variable in stage.variables}
        held = set(map(id, batch_norm_variables(self.model)))
        if self.batch_norm == "inference":
            held = set()
        # A frozen layer hides the variables below it, so the layers are all switched on and
        # each variable says for itself whether it trains.
        self.model.trainable = True
        for variable in self.model.trainable_variables:
            variable.trainable = id(variable) in chosen and id(variable) not in held

    def applied(self) -> keras.layers.Layer:
        """Returns the backbone as one layer that runs in inference mode, whatever `fit` says."""
        from kft.inference_mode import InferenceMode

        return InferenceMode(self.model, name="backbone")


def batch_norm_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables of every batch normalisation of `model`."""
    import keras

    return [
        variable
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        for variable in layer.variables
    ]


def layer_stages(model: keras.Model) -> tuple[Stage, ...]:
    """Returns a stage for each layer with weights; a normalisation joins the layer before it."""
    import keras

    norms = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
    named: list[tuple[str, list[keras.Variable]]] = []
    for layer in model._flatten_layers(include_self=False):
        own = [*layer._trainable_variables, *layer._non_trainable_variables]
        if not layer._trainable_variables:
            continue
        if isinstance(layer, norms) and named:
            named[-1][1].extend(own)
        else:
            named.append((layer.name, own))
    return tuple(Stage(name, tuple(variables)) for name, variables in named)


class BackboneSource(Component):
    """Finds a pretrained backbone.

    Attributes:
        batch_norm: ``frozen`` keeps statistics, gamma and beta as pretrained; ``inference`` keeps
            the statistics and trains gamma and beta of unfrozen stages.
    """

    role: ClassVar[str] = "backbone"

    batch_norm: Literal["frozen", "inference"] = "frozen"

    @abstractmethod
    def load(self, input_spec: tf.TensorSpec, pretrained: bool = True) -> Backbone:
        """Returns the backbone for examples of `input_spec`, which has no batch dimension.

        Without `pretrained` it has the same shape and fresh weights, and nothing is read or
        downloaded: for plans, and for weights that a run will load itself.

        Raises:
            BackboneError: The weights cannot be had, or do not fit the input.
        """
