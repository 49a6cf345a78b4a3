"""From the bytes of a picture file to pixels, in TensorFlow ops only.

The same ops run eagerly, in tf.data and in an exported SavedModel, so training and serving see
the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from kft.image import bmp, gif, png, webp
from kft.image.convert import UNKNOWN, convert
from kft.image.forms import CONVERTED, FORMS, form_in
from kft.image.header import require
from kft.image.jpeg import decode_jpeg
from kft.image.one_op import apart
from kft.image.pixels import as_rgb, upright

if TYPE_CHECKING:
    import tensorflow as tf

EMPTY = "Input is empty."


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
    raw: tf.Tensor, scaled: Callable[[tf.Tensor], tf.Tensor], converts: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns pixels as `decode_image`, perhaps at a half, quarter or eighth, and their sides.

    `scaled` gives the sides that a picture of some sides will be scaled to; a JPEG is decoded at
    no less than `MARGIN` times those, which saves much of the time that a large one takes. Sides
    are float64 ``(height, width)``; those returned are where the picture ends, which may be
    within the last row or column of pixels.

    If it `converts`, Python makes a PNG of what TensorFlow does not read, as `convert` does; of
    other files the graph does the same then, in the same time, but no other process can load it.

    Raises:
        tf.errors.InvalidArgumentError: As `decode_image`.
    """
    import tensorflow as tf

    def other() -> tuple[tf.Tensor, tf.Tensor]:
        pixels = apart(decode_or_convert if converts else decode_other)(raw)
        return pixels, tf.cast(tf.shape(pixels)[:2], tf.float64)

    raw = tf.convert_to_tensor(raw)
    pixels, sides = tf.cond(
        tf.io.is_jpeg(raw), lambda: decode_jpeg(raw, scaled), other, name="decode"
    )
    return tf.ensure_shape(pixels, [None, None, 3]), tf.ensure_shape(sides, [2])


def decode_other(raw: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of a picture that is no JPEG."""
    return decode_by_start(raw, apart(unknown))


def decode_or_convert(raw: tf.Tensor) -> tf.Tensor:
    """As `decode_other`, of a file that Python converts, too."""
    return decode_by_start(raw, apart(decode_converted))


def decode_by_start(raw: tf.Tensor, other: Callable[..., tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
    """Returns the pixels of a picture that is no JPEG, of a form not known here by `other`."""
    import tensorflow as tf

    decoders = {
        png.START: png.decode_png,
        gif.START: apart(gif.decode_gif),
        bmp.START: apart(bmp.decode_bmp),
        webp.START: apart(webp.decode_webp),
        b"": other,
    }
    begins = [tf.strings.substr(raw, 0, len(start)) == start for start in decoders]
    branches = [partial(decode, raw) for decode in decoders.values()]
    pixels, orientation = tf.switch_case(tf.argmax(begins, output_type=tf.int32), branches)
    return upright(as_rgb(pixels), orientation)


def unknown(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Raises InvalidArgumentError: TensorFlow reads JPEG XL too, which nothing else here does."""
    import tensorflow as tf

    fixes = [f"{UNKNOWN} but {form}; convert it: magick IN OUT.png" for form in CONVERTED]
    problems = tf.constant([*[UNKNOWN] * (len(FORMS) - len(fixes)), *fixes, UNKNOWN])
    problem = tf.where(raw == "", EMPTY, tf.gather(problems, form_in(raw)))
    with tf.control_dependencies([require(tf.constant(False), problem)]):
        return tf.zeros([1, 1, 3], tf.uint8), tf.constant(1, tf.int64)


def decode_converted(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the pixels of a picture that Python converts, and 1: it is upright then."""
    import numpy as np
    import tensorflow as tf

    def as_png(file: Any) -> tuple[bytes, str]:
        return converted(np.asarray(file, object).item())  # an array where it runs eagerly

    file, fault = tf.numpy_function(as_png, [raw], [tf.string, tf.string], stateful=False)
    with tf.control_dependencies([require(tf.equal(fault, ""), fault)]):
        return png.decode_png(tf.ensure_shape(file, []))


def converted(raw: bytes) -> tuple[bytes, str]:
    """Returns `raw` as a PNG, and a message for people in place of that where it cannot be."""
    try:
        file = convert(raw)
    except ValueError as error:
        return b"", str(error)
    if file is raw:
        return b"", UNKNOWN if raw else EMPTY
    return file, ""
