"""How large images are, and what size to train them at."""

from __future__ import annotations

import io
import statistics
from typing import TYPE_CHECKING

from kft.data import Split

if TYPE_CHECKING:
    import tensorflow as tf

LOOKED_AT = 200
SIZES = (96, 128, 160, 224)


def fitting_size(split: Split) -> tuple[int, str]:
    """Returns the side in pixels to train at, one of `SIZES`, and the reason."""
    import numpy as np
    import tensorflow as tf

    looked = np.linspace(0, split.size - 1, min(split.size, LOOKED_AT)).astype("int64")
    sides = [side for index in looked if (side := short_side(split, tf.constant(index)))]
    typical = int(statistics.median(sides)) if sides else SIZES[-1]
    fitting = [size for size in SIZES if size >= typical]
    found = f"the short side of the images is {typical} px as a rule (median of {len(sides)})"
    if fitting:
        return fitting[0], f"{found}, for which {fitting[0]} is enough"
    return SIZES[-1], f"{found}; {SIZES[-1]} is the usual size for ImageNet weights"


def short_side(split: Split, index: tf.Tensor) -> int | None:
    """Returns the short side of an encoded image in pixels, or None if it cannot be told."""
    import tensorflow as tf
    from PIL import Image

    try:
        raw = split.fetch(index)
        with Image.open(io.BytesIO(raw.numpy())) as image:
            return min(image.size)
    # Such as a file that is not there, damaged, or claims more pixels than any memory holds.
    except (tf.errors.OpError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
