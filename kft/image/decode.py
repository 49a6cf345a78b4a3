"""From the bytes of a picture file to pixels, in TensorFlow ops only.

The same ops run eagerly, in tf.data and in an exported SavedModel, so training and serving see
the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from kft.image import bmp, gif, png, webp
from kft.image.header import require
from kft.image.jpeg import decode_jpeg
from kft.image.one_op import apart
from kft.image.pixels import as_rgb, upright

if TYPE_CHECKING:
    import tensorflow as tf


def decode_image(raw: tf.Tensor) -> tf.Tensor:
    """Returns uint8 pixels of shape ``(height, width, 3)`` of the scalar string `raw`.

    Reads JPEG, PNG, GIF, BMP and WebP, whatever the file is called, and the first frame of an
    animation. Grey, palette, CMYK and 16-bit pictures become 8-bit RGB; what is transparent is
    laid on white. JPEG, PNG and WebP are turned upright as their EXIF orientation says. ICC
    profiles are ignored: a picture in a wide colour space looks a little pale.

    Raises:
        tf.errors.InvalidArgumentError: The file is damaged, empty, too large, or of a form not
            read here.
    """
    return decode_to_scale(raw, lambda sides: sides)[0]


def decode_to_scale(
    raw: tf.Tensor, scaled: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns pixels as `decode_image`, perhaps at a half, quarter or eighth, and their sides.

    `scaled` gives the sides that a picture of some sides will be scaled to; a JPEG is decoded at
    no less than `MARGIN` times those, which saves much of the time that a large one takes. Sides
    are float64 ``(height, width)``; those returned are where the picture ends, which may be
    within the last row or column of pixels.

    Raises:
        tf.errors.InvalidArgumentError: As `decode_image`.
    """
    import tensorflow as tf

    def other() -> tuple[tf.Tensor, tf.Tensor]:
        pixels = apart(decode_other)(raw)
        return pixels, tf.cast(tf.shape(pixels)[:2], tf.float64)

    raw = tf.convert_to_tensor(raw)
    pixels, sides = tf.cond(
        tf.io.is_jpeg(raw), lambda: decode_jpeg(raw, scaled), other, name="decode"
    )
    return tf.ensure_shape(pixels, [None, None, 3]), tf.ensure_shape(sides, [2])


def decode_other(raw: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of a picture that is no JPEG."""
    import tensorflow as tf

    decoders = {
        png.START: png.decode_png,
        gif.START: apart(gif.decode_gif),
        bmp.START: apart(bmp.decode_bmp),
        webp.START: apart(webp.decode_webp),
        b"": unknown,
    }
    begins = [tf.strings.substr(raw, 0, len(start)) == start for start in decoders]
    branches = [partial(decode, raw) for decode in decoders.values()]
    pixels, orientation = tf.switch_case(tf.argmax(begins, output_type=tf.int32), branches)
    return upright(as_rgb(pixels), orientation)


def unknown(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Raises InvalidArgumentError: TensorFlow reads JPEG XL too, which nothing else here does."""
    import tensorflow as tf

    problem = tf.where(raw == "", "Input is empty.", "this is no JPEG, PNG, GIF, BMP or WebP file")
    with tf.control_dependencies([require(tf.constant(False), problem)]):
        return tf.zeros([1, 1, 3], tf.uint8), tf.constant(1, tf.int64)
