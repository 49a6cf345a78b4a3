"""The normalisation of pixels that a model of Hugging Face expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FILE = "preprocessor_config.json"


def scale_and_offset(settings: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """The factor and offset that each channel of 0 to 255 is normalised by.

    `settings` are the content of `FILE`.

    Raises:
        KeyError: They ask for normalisation without a mean or a standard deviation.
    """
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    mean, std = [0.0] * 3, [1.0] * 3
    if settings.get("do_normalize", True):
        mean, std = settings["image_mean"], settings["image_std"]
    scale = [factor / each for each in std]
    return scale, [-middle / each for middle, each in zip(mean, std, strict=True)]
