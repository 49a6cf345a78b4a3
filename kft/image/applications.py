"""The models of keras.applications as backbones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from kft.backbone import Backbone, BackboneSource, layer_stages
from kft.backbones.pooling import Pooling
from kft.errors import BackboneError, ConfigError
from kft.image import application_graph
from kft.image.application import Application, applications
from kft.image.pretrained_weights import (
    BUNDLED,
    cached_files,
    existing_file,
    find_weights,
    load_weights,
)
from kft.messages import closest
from kft.settings.component import checked_absolute

if TYPE_CHECKING:
    import tensorflow as tf

IN_KFT = "MobileNetV2"


def list_backbones(size: int = 224, sort: str | None = None) -> list[dict[str, Any]]:
    """Each model with the figures to compare, and whether its weights are on this machine.

    ``weights`` is ``bundled``, ``cached`` or None; None means that a run would download them.
    ``multiply_adds`` are those of an image of `size` by `size` pixels, None if that is too small.
    Sorted by one of these keys, `top1` from the best and `weights` from those here.
    """
    listed: list[dict[str, Any]] = [
        {
            "name": name,
            "parameters": model.parameters,
            "megabytes": model.megabytes,
            "multiply_adds": model.multiply_adds_at(size),
            "top1": model.top1,
            "minimum_size": model.minimum_size,
            "weights": "bundled" if name == IN_KFT else "cached" if cached_files(model) else None,
        }
        for name, model in applications().items()
    ]
    return listed if sort is None else sorted(listed, key=lambda row: rank(row, sort))


def rank(row: Mapping[str, Any], sort: str) -> tuple[bool, Any]:
    """The sort key of `row`: unknown values come last."""
    value = row[sort]
    if value is None:
        return True, 0
    return False, -value if sort == "top1" else value


class KerasApplication(BackboneSource):
    """A model of keras.applications without its top, fed with pixels from 0 to 255.

    Attributes:
        name: Of the model; ``kft backbones`` lists them.
        weights: ``imagenet`` as Keras publishes them, downloaded once; ``bundled`` those that come
            with kft (MobileNetV2 only); the path of a weights file; or None for fresh weights.
        pooling: How the last feature map becomes one vector.
    """

    name: str
    weights: str | None = "imagenet"
    pooling: Pooling = "avg"

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name not in applications():
            hint = closest(name, applications())
            raise PydanticCustomError("unknown_name", f"keras.applications has no {name!r}{hint}")
        return name

    @field_validator("weights")
    @classmethod
    def _check_weights(cls, weights: str | None, info: ValidationInfo) -> str | None:
        if weights == "bundled" and info.data.get("name", IN_KFT) != IN_KFT:
            raise PydanticCustomError(
                "not_bundled",
                f"only {IN_KFT} has bundled weights, not {info.data['name']}. Set 'imagenet'",
            )
        if weights is None or weights in ("imagenet", "bundled"):
            return weights
        return checked_absolute(weights)

    def dependencies(self) -> Mapping[str, str]:
        return {}

    def pretrained_files(self) -> Mapping[str, str]:
        return super().dependencies()

    def look_for_weights(self) -> None:
        if self.weights is not None and self.weights not in ("imagenet", "bundled"):
            existing_file(self.weights)

    def load(self, input_spec: tf.TensorSpec, pretrained: bool = True) -> Backbone:
        import keras

        published = applications()[self.name]
        check_images(published, tuple(input_spec.shape))
        weights = self._find_weights(published, input_spec) if pretrained else None
        pixels = keras.Input(input_spec.shape, dtype=input_spec.dtype.name, name="pixels")
        graph = application_graph.build(published, pixels, self.pooling)
        if weights is not None:
            load_weights(graph, published, weights)
        return Backbone(self.name, graph, layer_stages(graph), self.batch_norm)

    def _find_weights(self, published: Application, input_spec: tf.TensorSpec) -> Path | None:
        if self.weights is None:
            return None
        if self.weights == "bundled":
            return BUNDLED
        return find_weights(published, self.weights, published.weights_size(*input_spec.shape[:2]))


def check_images(published: Application, shape: tuple[int | None, ...]) -> None:
    """Refuses images of a `shape` that the model cannot take.

    Raises:
        BackboneError: They are not RGB images.
        ConfigError: They are too small.
    """
    if len(shape) != 3 or shape[-1] != 3:
        raise BackboneError(
            where=f"backbone {published.name!r}",
            problem=f"takes images of shape (height, width, 3), but the data gives {shape}",
            fix="Set an image input that gives three channels as data.input",
        )
    small = [side for side in shape[:2] if side is not None and side < published.minimum_size]
    if small:
        raise ConfigError(
            where="data.input.size",
            problem=f"is {shape[0]}x{shape[1]}, but {published.name} needs at least "
            f"{published.minimum_size}x{published.minimum_size}",
            fix=f"Set it to at least that; {published.name} was trained at "
            f"{published.default_size}",
        )
