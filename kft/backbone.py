"""The backbone contract: the only thing the engine knows of a modality."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from kft.errors import BackboneError
from kft.layers.gradients import record_gradients
from kft.settings.component import Component

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

BatchNorm = Literal["frozen", "inference", "train", "recalibrate"]


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
        training_noise: Whether `fit` may run `model` as in training while any of it is unfrozen.
            Not if batch statistics would move against `batch_norm`.
        frozen_because: Why it has no stages, for people; None if it has.

    Raises:
        BackboneError: The features are not of shape ``(batch, d)``.
    """

    name: str
    model: keras.Model
    stages: tuple[Stage, ...]
    batch_norm: BatchNorm = "frozen"
    training_noise: bool = False
    frozen_because: str | None = None

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
        if self.batch_norm == "frozen":
            chosen -= set(map(id, batch_norm_variables(self.model)))
        # A frozen layer hides the variables below it, so the layers are all switched on and
        # each variable says for itself whether it trains.
        for layer in self.model._flatten_layers():
            layer.trainable = True
            for variable in layer._trainable_variables:
                variable.trainable = id(variable) in chosen
            record_gradients(layer._trainable_variables)

    def applied(self, part: keras.Model | None = None) -> keras.layers.Layer:
        """Returns the backbone, or a `part` of its graph, as one layer.

        It runs in inference mode, whatever `fit` says, but for what `batch_norm` and
        `training_noise` let train.
        """
        from kft.layers.inference_mode import InferenceMode

        model = self.model if part is None else part
        follows = self.batch_norm in ("train", "recalibrate")
        return InferenceMode(model, follows, self.training_noise, name="backbone")


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
    """Returns a stage for each layer with weights; a normalisation joins the layer it follows.

    It follows the nearest layer with weights up the graph, of several the one listed last; the
    list alone would mislead, since parallel branches stand interleaved in it.
    """
    import keras

    norms = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
    stages: list[tuple[str, list[keras.Variable]]] = []
    joined: dict[int, int] = {}
    for layer in layers_inside(model):
        last = len(stages) - 1
        if not layer._trainable_variables:
            if layer._layers and stages:
                joined[id(layer)] = last
            continue
        own = [*layer._trainable_variables, *layer._non_trainable_variables]
        if isinstance(layer, norms) and stages:
            joined[id(layer)] = max(stages_above(layer, joined), default=last)
            stages[joined[id(layer)]][1].extend(own)
        else:
            joined[id(layer)] = len(stages)
            stages.append((layer.name, own))
    return tuple(Stage(name, tuple(variables)) for name, variables in stages)


def layers_inside(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns every layer of `model` once, input side first, a layer after those inside it."""
    found: dict[int, keras.layers.Layer] = {}
    for layer in model._layers:
        for inner in (*layers_inside(layer), layer):
            found.setdefault(id(inner), inner)
    return list(found.values())


def stages_above(layer: keras.layers.Layer, joined: Mapping[int, int]) -> set[int]:
    """Returns the stages nearest to `layer` up its graph; `joined` has those of the layers."""
    found: set[int] = set()
    seen: set[keras.Operation] = set()
    waiting = [layer]
    while waiting:
        for node in waiting.pop()._inbound_nodes[:1]:
            for above in {parent.operation for parent in node.parent_nodes} - seen:
                seen.add(above)
                if id(above) in joined:
                    found.add(joined[id(above)])
                else:
                    waiting.append(above)
    return found


class BackboneSource(Component):
    """Finds a pretrained backbone.

    Attributes:
        batch_norm: ``frozen`` keeps statistics, gamma and beta as pretrained; ``inference`` keeps
            the statistics and trains gamma and beta of unfrozen stages; ``train`` has these
            normalise by their batch, and moves their averages with the momentum of the model,
            which takes hundreds of steps; ``recalibrate`` does so too, and takes exact statistics
            from a pass over the training examples after each epoch. Dropout in the backbone stays
            off.

    Example:
        >>> import keras
        >>> import tensorflow as tf
        >>> from kft import Backbone, BackboneSource, layer_stages
        >>> class OwnNet(BackboneSource):
        ...     weights: str
        ...
        ...     def load(self, input_spec, pretrained=True):
        ...         inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        ...         hidden = keras.layers.Dense(8, "relu", name="lower")(inputs)
        ...         model = keras.Model(inputs, keras.layers.Dense(4, name="upper")(hidden))
        ...         if pretrained:
        ...             model.load_weights(self.weights)
        ...         return Backbone("own_net", model, layer_stages(model), self.batch_norm)
        >>> source = OwnNet(weights="own.weights.h5")
        >>> backbone = source.load(tf.TensorSpec((3,), tf.float32), pretrained=False)
        >>> [stage.name for stage in backbone.stages]
        ['lower', 'upper']
    """

    role: ClassVar[str] = "backbone"

    batch_norm: BatchNorm = "frozen"

    def look_for_weights(self) -> None:
        """Raises BackboneError if a file that the settings name is not there; downloads nothing.

        A source that names no files keeps this one, which finds nothing amiss.
        """

    def pretrained_files(self) -> Mapping[str, str]:
        """Files that only a `pretrained` backbone is read from, named as in `dependencies`.

        A run that is resumed wants them unchanged; one that is opened again does not read them.
        """
        return {}

    @abstractmethod
    def load(self, input_spec: tf.TensorSpec, pretrained: bool = True) -> Backbone:
        """Returns the backbone for examples of `input_spec`, which has no batch dimension.

        Without `pretrained` it has the same shape and fresh weights, and nothing is read or
        downloaded: for plans, and for weights that a run will load itself.

        Raises:
            BackboneError: The weights cannot be found or downloaded, or do not fit the input.
        """
