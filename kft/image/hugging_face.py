"""How a model of Hugging Face takes the numbers of its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FILE = "preprocessor_config.json"


def scale_and_offset(told: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """The factor and offset that each channel of 0 to 255 is normalised by.

    `told` is the content of `FILE`.

    Raises:
        KeyError: It normalises by moments that it does not tell.
    """
    factor = told.get("rescale_factor", 1 / 255) if told.get("do_rescale", True) else 1.0
    mean, std = [0.0] * 3, [1.0] * 3
    if told.get("do_normalize", True):
        mean, std = told["image_mean"], told["image_std"]
    scale = [factor / each for each in std]
    return scale, [-middle / each for middle, each in zip(mean, std, strict=True)]
