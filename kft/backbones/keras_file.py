"""A `.keras` model of the user's own as a backbone, cut at a layer."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from kft.backbone import Backbone, BackboneSource, layer_stages
from kft.backbones.pooling import Pooling, inlined, pooled, scaled
from kft.errors import BackboneError
from kft.messages import closest, one_line
from kft.settings.component import checked_absolute

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

ARCHITECTURE = "config.json"


class KerasFile(BackboneSource):
    """A model in a ``.keras`` file, up to one of its layers. Never runs code that the file brings.

    Attributes:
        path: Of the file.
        layer: Whose output is the features; null is the output of the whole model.
        input_range: What the model takes for the numbers 0 to 255 of uint8 inputs, such as 0 to 1;
            null passes them as they are, for a model that scales them itself.
        pooling: How features with more than one axis become one vector.
    """

    path: str
    layer: str | None = None
    input_range: tuple[float, float] | None = None
    pooling: Pooling = "avg"

    @field_validator("path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if not path.endswith(".keras"):
            raise PydanticCustomError(
                "not_keras",
                f"{path!r} is no .keras file. Save the model with model.save('name.keras'): other "
                "formats can run code of their maker's when they are read",
            )
        return checked_absolute(path)

    def load(self, input_spec: tf.TensorSpec, pretrained: bool = True) -> Backbone:
        """Returns the model up to the layer; without `pretrained`, its weights are not read."""
        whole = self._read(pretrained)
        model = self._cut(whole, input_spec)
        return Backbone(Path(self.path).name, model, layer_stages(model), self.batch_norm)

    def _read(self, pretrained: bool) -> keras.Model:
        """Returns the model in the file, in Keras's safe mode."""
        import keras

        if not Path(self.path).is_file():
            fix = "Correct the path; a relative one starts from the working directory"
            raise BackboneError(self._where(), "is not a file on this machine", fix)
        try:
            if pretrained:
                return keras.saving.load_model(self.path, compile=False, safe_mode=True)
            with zipfile.ZipFile(self.path) as file:
                config = json.loads(file.read(ARCHITECTURE))
            return keras.saving.deserialize_keras_object(
                {**config, "compile_config": None}, safe_mode=True
            )
        except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise BackboneError(
                where=self._where(),
                problem=f"cannot be read: {one_line(error)}",
                fix="Give a .keras file of built-in layers; layers of your own go into a backbone "
                "class of your own, named as module:Class",
            ) from error

    def _cut(self, whole: keras.Model, input_spec: tf.TensorSpec) -> keras.Model:
        """Returns the layers of `whole` up to the named one, on inputs of `input_spec`."""
        import keras
        from keras.src.models import Functional

        if isinstance(whole, keras.Sequential) and whole.built:
            whole = whole._functional
        if not isinstance(whole, Functional) or len(whole.inputs) != 1:
            raise BackboneError(
                where=self._where(),
                problem="is no Sequential or Functional model with one input, so it cannot be cut",
                fix="Rebuild it as a Functional model with one input, and save that",
            )
        inner = keras.Model(whole.inputs, self._features(whole))
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name, name="inputs")
        try:
            features = inlined(inner, scaled(inputs, self.input_range))
        except ValueError as error:
            raise BackboneError(
                where=self._where(),
                problem=f"takes inputs of shape {whole.inputs[0].shape[1:]}, not "
                f"{tuple(input_spec.shape)} as the data gives",
                fix="Set data.input so that it gives the shape that the model takes",
            ) from error
        return keras.Model(inputs, pooled(features, self.pooling), name="file_backbone")

    def _features(self, whole: keras.Model) -> keras.KerasTensor:
        names = [layer.name for layer in whole.layers]
        if self.layer is None:
            return whole.outputs[0]
        if self.layer not in names:
            raise BackboneError(
                where=f"backbone.layer {self.layer!r}",
                problem=f"is no layer of {self.path}{closest(self.layer, names)}",
                fix="Set backbone.layer to the name of one of its layers",
            )
        return whole.get_layer(self.layer).output

    def _where(self) -> str:
        return f"backbone.path {self.path!r}"
