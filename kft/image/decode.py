"""From the bytes of a picture file to pixels, in TensorFlow ops only.

The same ops run eagerly, in tf.data and in an exported SavedModel, so training and serving see
the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from kft.image.header import check_bmp, exif_orientation, is_bare, small_enough, with_alpha_flag

if TYPE_CHECKING:
    import tensorflow as tf

# What libjpeg can divide the sides by while it decodes.
RATIOS = (1, 2, 4, 8)
# How much larger than what it is scaled to a JPEG is decoded at least. From there on a photo is
# within a mean of 2 grey levels of the one decoded whole; at 1 it is often beyond them.
MARGIN = 1.5


def decode_image(raw: tf.Tensor) -> tf.Tensor:
    """Returns uint8 pixels of shape ``(height, width, 3)`` of the scalar string `raw`.

    Reads JPEG, PNG, GIF, BMP and WebP, whatever the file is called, and the first frame of an
    animation. Grey, palette, CMYK and 16-bit pictures become 8-bit RGB; alpha is laid on white,
    but transparent pixels of a GIF are black, since TensorFlow gives no alpha for them. A JPEG is
    turned upright as its EXIF orientation says. ICC profiles are ignored: a picture in a wide
    colour space looks a little pale.

    Raises:
        tf.errors.InvalidArgumentError: The file is damaged, empty, or of a form not read here.
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


def apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function` as one op for whoever calls it in a graph.

    In a branch that is not taken every op costs time, and the rare cases have hundreds.
    """
    import tensorflow as tf

    return function if tf.executing_eagerly() else one_op(function)


@cache
def one_op(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function`, traced once for all graphs that call it."""
    import tensorflow as tf

    called: Callable[..., Any] = tf.function(
        function, autograph=False, experimental_attributes={"_noinline": True}
    )
    return called


def decode_jpeg(
    raw: tf.Tensor, scaled: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the upright pixels of a JPEG and their sides, as `decode_to_scale` does."""
    import tensorflow as tf

    none = tf.constant(1, tf.int64)
    orientation = tf.cond(is_bare(raw), lambda: none, lambda: apart(exif_orientation)(raw))
    lying = tf.cast(tf.io.extract_jpeg_shape(raw)[:2], tf.float64)
    sides = tf.where(orientation > 4, lying[::-1], lying)
    room = tf.reduce_min(sides / tf.cast(scaled(sides), tf.float64)) / MARGIN
    halvings = tf.reduce_sum(tf.cast(room >= tf.constant(RATIOS[1:], tf.float64), tf.int32))
    pixels = tf.switch_case(halvings, [decoder_at(raw, ratio) for ratio in RATIOS])
    pixels = tf.cond(orientation > 1, lambda: upright(pixels, orientation), lambda: pixels)
    return pixels, sides / tf.gather(tf.constant(RATIOS, tf.float64), halvings)


def decoder_at(raw: tf.Tensor, ratio: int) -> Callable[[], tf.Tensor]:
    """Returns what decodes a JPEG with its sides divided by `ratio`, rounded up."""
    import tensorflow as tf

    return lambda: tf.io.decode_jpeg(raw, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def decode_other(raw: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of a picture that is no JPEG."""
    import tensorflow as tf

    is_bmp = tf.equal(tf.strings.substr(raw, 0, 2), "BM")
    has_alpha = tf.cond(is_bmp, lambda: check_bmp(raw), lambda: tf.constant(True))
    with tf.control_dependencies([has_alpha]):
        # Asking for a fixed number of channels fails for some formats or drops their alpha.
        pixels = tf.io.decode_image(with_alpha_flag(raw), channels=0, expand_animations=False)
    height, width, channels = tf.unstack(tf.shape(pixels))
    pixels = small_enough(pixels, height, width)
    opaque = tf.where(channels == 4, 3, tf.where(channels == 2, 1, channels))
    pixels = tf.cond(
        (opaque < channels) & has_alpha,
        lambda: on_white(pixels),
        lambda: pixels[:, :, :opaque],
    )
    return tf.cond(opaque == 1, lambda: tf.image.grayscale_to_rgb(pixels[:, :, :1]), lambda: pixels)


def on_white(pixels: tf.Tensor) -> tf.Tensor:
    """Returns uint8 `pixels` without their last channel, alpha, as seen on white paper."""
    import tensorflow as tf

    # 16 bits hold the largest sum, and take half the memory of the usual 32.
    colour, alpha = tf.cast(pixels[:, :, :-1], tf.uint16), tf.cast(pixels[:, :, -1:], tf.uint16)
    return tf.cast((colour * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns `pixels` turned and mirrored as the EXIF `orientation` says."""
    import tensorflow as tf

    def is_one_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values, tf.int64))

    pixels = tf.transpose(pixels, tf.where(is_one_of(5, 6, 7, 8), [1, 0, 2], [0, 1, 2]))
    down = tf.where(is_one_of(3, 4, 7, 8), -1, 1)
    right = tf.where(is_one_of(2, 3, 6, 7), -1, 1)
    return pixels[::down, ::right]
