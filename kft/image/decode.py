"""From the bytes of a picture file to pixels, in TensorFlow ops only.

The same ops run eagerly, in tf.data and in an exported SavedModel, so training and serving see
the same pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kft.image.header import check_bmp, exif_orientation, small_enough, with_alpha_flag

if TYPE_CHECKING:
    import tensorflow as tf


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
    import tensorflow as tf

    raw = tf.convert_to_tensor(raw)
    pixels = tf.cond(
        tf.io.is_jpeg(raw), lambda: decode_jpeg(raw), lambda: decode_other(raw), name="decode"
    )
    pixels.set_shape([None, None, 3])
    return pixels


def decode_jpeg(raw: tf.Tensor) -> tf.Tensor:
    """Returns the upright pixels of a JPEG."""
    import tensorflow as tf

    pixels = tf.io.decode_jpeg(raw, channels=3, dct_method="INTEGER_ACCURATE")
    # To walk through the headers takes several times as long as to decode a small picture.
    has_exif = tf.strings.regex_full_match(raw, r"\C*Exif\x00\x00\C*")

    def turned() -> tf.Tensor:
        orientation = exif_orientation(raw)
        return tf.cond(orientation > 1, lambda: upright(pixels, orientation), lambda: pixels)

    return tf.cond(has_exif, turned, lambda: pixels)


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
