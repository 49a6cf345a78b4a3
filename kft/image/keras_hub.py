"""Image backbones of KerasHub, with the preprocessing that they were trained with."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from kft.backbone import Backbone, BackboneSource, layer_stages
from kft.backbones.offline import is_offline
from kft.backbones.pooling import inlined, pooled
from kft.errors import BackboneError, ConfigError
from kft.image.hugging_face import FILE, scale_and_offset
from kft.messages import one_line
from kft.settings.component import checked_absolute

# The extra `keras-hub`, which pip finds only in the folder of kft.
NEEDS = ("keras-hub>=0.32,<1", "tensorflow-text>=2.21.1", "safetensors>=0.4")

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class KerasHub(BackboneSource):
    """An image backbone of KerasHub. Needs the packages of the extra ``keras-hub``.

    A plan and a run that is opened again fetch its description too, of a few kilobytes, unless it
    is a directory.

    Attributes:
        preset: A name such as ``resnet_18_imagenet``, ``hf://owner/model``, ``kaggle://…``, or a
            directory with a preset or a model of Hugging Face, written as ``./name`` or ``/name``.
        pooling: How the last map or sequence becomes one vector; ``token`` takes the first of a
            sequence, which a vision transformer keeps for the class.
    """

    preset: str
    pooling: Literal["avg", "max", "flatten", "token"] = "avg"

    @field_validator("preset")
    @classmethod
    def _check_preset(cls, preset: str) -> str:
        return checked_absolute(preset) if preset.startswith((".", "/", "~")) else preset

    def load(self, input_spec: tf.TensorSpec, pretrained: bool = True) -> Backbone:
        """Returns the backbone; without `pretrained`, its weights are not fetched."""
        import keras

        self._look_for_directory()
        hub = import_keras_hub()
        whole = self._from_preset(hub.models.Backbone, load_weights=pretrained)
        # Of a model of images and text, the half that sees.
        sees = getattr(whole, "vision_encoder", whole)
        self._check_images(sees, tuple(input_spec.shape))
        converter = self._converter(hub.layers.ImageConverter)
        pixels = keras.Input(input_spec.shape, dtype=input_spec.dtype.name, name="pixels")
        features = self._vector(inlined(sees, converter(pixels)))
        model = keras.Model(pixels, features, name="keras_hub_backbone")
        return Backbone(Path(self.preset).name, model, layer_stages(model), self.batch_norm)

    def _look_for_directory(self) -> None:
        """Refuses a preset that is not there, if it is a directory or nothing can be fetched."""
        if Path(self.preset).is_dir():
            return
        if self.preset.startswith("/"):
            fix = "Correct the path; a relative one starts from the working directory"
            raise BackboneError(self._where(), "is no directory", fix)
        if is_offline():
            raise BackboneError(
                where=self._where(),
                problem="is no directory, and kft is offline",
                fix="Write it to one with `save_to_preset` of KerasHub where there is a network",
            )

    def _from_preset(self, cls: Any, **settings: Any) -> Any:
        try:
            return cls.from_preset(self.preset, **settings)
        except Exception as error:  # of kagglehub, Hugging Face, h5py and KerasHub itself
            raise BackboneError(
                where=self._where(),
                problem=f"cannot be loaded: {one_line(error)}",
                fix="Give the name or the directory of an image preset of KerasHub",
            ) from error

    def _converter(self, cls: Any) -> Any:
        """The layer that rescales pixels; with no size of its own, it leaves that to the input.

        KerasHub 0.32 makes none from the files of Hugging Face for ViT, DeiT and DINO.
        """
        found = self._from_preset(cls)
        if found is not None:
            found.image_size = None
            return found
        from keras_hub.src.utils.preset_utils import get_file

        try:
            content = Path(get_file(self.preset, FILE)).read_text(encoding="utf-8")
            scale, offset = scale_and_offset(json.loads(content))
        except Exception as error:  # of the network, of Hugging Face, or of what the file holds
            raise BackboneError(
                where=self._where(),
                problem=f"does not say how it takes pixels: {FILE}: {one_line(error)}",
                fix=f"Give a preset of KerasHub, or one with a {FILE} that has image_mean and "
                "image_std",
            ) from error
        return cls(image_size=None, scale=scale, offset=offset)

    def _check_images(self, model: keras.Model, shape: tuple[int | None, ...]) -> None:
        """Refuses a `model` that takes other inputs than images of `shape`."""
        if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
            raise BackboneError(
                where=self._where(),
                problem="does not take images alone",
                fix="Give the preset of an image backbone",
            )
        taken = model.inputs[0].shape[1:]
        if len(shape) != 3 or any(t not in (None, s) for t, s in zip(taken, shape, strict=True)):
            raise ConfigError(
                where="data.input.size",
                problem=f"gives images of shape {shape}, but {self.preset} takes {taken}",
                fix="Set data.input.size to that height and width",
            )

    def _vector(self, features: Any) -> keras.KerasTensor:
        """Returns `features` as ``(batch, d)``."""
        if isinstance(features, dict):
            raise BackboneError(
                where=self._where(),
                problem=f"gives several outputs: {', '.join(sorted(features))}",
                fix="Give the preset of an image backbone with one output",
            )
        if self.pooling != "token":
            return pooled(features, self.pooling)
        if len(features.shape) != 3:
            raise ConfigError(
                where="backbone.pooling 'token'",
                problem=f"needs a sequence, but {self.preset} gives a map",
                fix="Set it to 'avg'",
            )
        return features[:, 0]

    def _where(self) -> str:
        return f"backbone.preset {self.preset!r}"


def import_keras_hub() -> ModuleType:
    """Returns the package keras_hub.

    Raises:
        BackboneError: It cannot be imported.
    """
    try:
        import keras_hub
    except ImportError as error:
        raise BackboneError(
            where="backbone.kind 'keras_hub'",
            problem=f"keras_hub cannot be imported: {error}",
            fix=f"`pip install {' '.join(map(repr, NEEDS))}`",
        ) from error
    return keras_hub  # type: ignore[no-any-return]
