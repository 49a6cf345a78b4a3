"""The sizes of images, and the size to train them at."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kft.image.convert import convert

if TYPE_CHECKING:
    import tensorflow as tf

SIZES = (96, 128, 160, 224)


def fitting_size(files: Iterable[tf.Tensor]) -> tuple[int, str]:
    """The side in pixels to train images at, one of `SIZES`, and the reason.

    `files` are the contents of some of them.
    """
    sides = [side for file in files if (side := short_side(file)) is not None]
    typical = int(statistics.median(sides)) if sides else SIZES[-1]
    fitting = [size for size in SIZES if size >= typical]
    found = f"the short side of the images is {typical} px as a rule (median of {len(sides)})"
    if fitting:
        return fitting[0], f"{found}, for which {fitting[0]} is enough"
    return SIZES[-1], f"{found}; {SIZES[-1]} is the usual size for ImageNet weights"


def short_side(file: tf.Tensor) -> int | None:
    """The short side of an encoded image in pixels, or None if it is unknown."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(convert(file.numpy()))) as image:
            return min(image.size)
    # Such as a file that is damaged, or claims more pixels than any memory holds.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
