"""The models of keras.applications as backbones, and what is published of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from kft.backbone import Backbone, BackboneSource, layer_stages
from kft.backbones.ends import Pooling
from kft.component import checked_absolute, closest
from kft.errors import BackboneError, ConfigError
from kft.image.pretrained_weights import (
    BUNDLED,
    cached_files,
    existing_file,
    find_weights,
    load_weights,
)

if TYPE_CHECKING:
    import tensorflow as tf

TABLE = Path(__file__).with_name("applications.json")
IN_KFT = "MobileNetV2"


@dataclass(frozen=True)
class Application:
    """A model of keras.applications.

    Attributes:
        module: Of keras.applications, which names its family.
        preprocessing: What it expects of pixels from 0 to 255: ``tf`` from -1 to 1, ``caffe`` BGR
            less the means of ImageNet, ``torch`` mean 0 and deviation 1, ``none`` the pixels.
        minimum_size: Of height and width, pixels.
        default_size: Height and width that it was trained at, pixels.
        parameters: Without the top.
        parameters_with_top: As published, rounded.
        megabytes_with_top: Size of the published weights file with the top; None where unknown.
        multiply_adds: Of convolutions and dense layers without the top, for a square image:
            coefficients of the square, the first and the zeroth power of its side over 32.
        top1: Published accuracy on ImageNet.
        top5: Likewise, for one of five guesses; None where unknown.
        paper: Its address.
        weights_file: Name of the ImageNet weights without the top, ``{size}`` for the image size.
        weights_url: Where Keras gets them.
        weights_hash: Of that file; None where Keras knows none.
        weights_sizes: For which square image sizes there are weights of their own.
    """

    name: str
    module: str
    preprocessing: Literal["tf", "caffe", "torch", "none"]
    minimum_size: int
    default_size: int
    parameters: int
    parameters_with_top: int
    megabytes_with_top: float | None
    multiply_adds: tuple[float, float, float]
    top1: float
    top5: float | None
    paper: str
    weights_file: str
    weights_url: str
    weights_hash: str | None
    weights_sizes: tuple[int, ...]

    @property
    def megabytes(self) -> float:
        """Size of the weights without the top, at 4 bytes each."""
        return round(self.parameters * 4 / 1e6, 1)

    def multiply_adds_at(self, size: int) -> int | None:
        """Returns how many multiply-adds an image of `size` pixels in both directions takes.

        Exact where 32 divides `size`, since layers halve it up to five times. They round up, so
        elsewhere it is too low: by 5 % for InceptionV3 at 299, by 21 % for MobileNetV2 at 100.
        None below the smallest size.
        """
        if size < self.minimum_size:
            return None
        square, first, zeroth = self.multiply_adds
        return round(square * (size / 32) ** 2 + first * size / 32 + zeroth)

    def weights_size(self, height: int | None, width: int | None) -> int:
        """Returns the image size whose ImageNet weights suit images of `height` and `width`."""
        if height is not None and height == width and height in self.weights_sizes:
            return height
        return self.default_size


@cache
def applications() -> Mapping[str, Application]:
    """Returns every model of keras.applications by name."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return MappingProxyType({name: application(name, record) for name, record in table.items()})


def application(name: str, record: Mapping[str, Any]) -> Application:
    """Returns the application that a `record` of the table describes."""
    known = {
        field.name: record[field.name] for field in fields(Application) if field.name in record
    }
    lists = {key: tuple(record[key]) for key in ("weights_sizes", "multiply_adds")}
    return Application(**{**known, "name": name, **lists})


def list_backbones(size: int = 224, sort: str | None = None) -> list[dict[str, Any]]:
    """Returns what a person compares of each model, and whether its weights are on this machine.

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
    """Returns what `row` is sorted by: what is not known comes last."""
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

        from kft.image import application_graph

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
            fix=f"Raise it; {published.name} was trained at {published.default_size}",
        )
