"""The published figures of the models of keras.applications."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

TABLE = Path(__file__).with_name("applications.json")


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
        """The number of multiply-adds for an image of `size` pixels in both directions.

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
