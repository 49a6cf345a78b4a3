"""BMP files: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kft.image.header import number, require, small_enough, substring

if TYPE_CHECKING:
    import tensorflow as tf

START = b"BM"
# Offsets in the file, and the size of its headers.
HEADER_BYTES, SIDES, BITS, COMPRESSION, MASKS = 14, (22, 18), 28, 30, 54
WITH_ALPHA_MASK = 56


def decode_bmp(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the pixels of a BMP, and 1: it has no orientation.

    Raises:
        tf.errors.InvalidArgumentError: It is damaged, too large, or of a form not read here.
    """
    import tensorflow as tf

    has_alpha = check_bmp(raw)
    height, width = (signed(number(raw, at, 4, little=True)) for at in SIDES)
    with tf.control_dependencies([has_alpha]):
        pixels = tf.io.decode_bmp(small_enough(raw, tf.abs(height), tf.abs(width)))
    is_padded = (tf.shape(pixels)[2] == 4) & ~has_alpha
    pixels = tf.cond(is_padded, lambda: pixels[:, :, :3], lambda: pixels)
    return pixels, tf.constant(1, tf.int64)


def signed(value: tf.Tensor) -> tf.Tensor:
    """Returns the signed number that 32 bits, an unsigned one, also are: rows from the top down."""
    import tensorflow as tf

    return tf.where(value >= 2**31, value - 2**32, value)


def check_bmp(raw: tf.Tensor) -> tf.Tensor:
    """Whether the fourth channel of a BMP is alpha, and not padding.

    Raises:
        tf.errors.InvalidArgumentError: TensorFlow 2.21 would give wrong pixels without a word: it
            takes palette numbers for grey levels, and knows neither packed nor run-length pixels.
    """
    import tensorflow as tf

    header_bytes = number(raw, HEADER_BYTES, 4, little=True)
    bits = number(raw, BITS, 2, little=True)
    compression = number(raw, COMPRESSION, 4, little=True)
    after_header = substring(raw, HEADER_BYTES + header_bytes, 4 * 256)
    palette = tf.io.decode_raw(after_header, tf.uint8, fixed_length=4 * 256)
    grey = tf.constant([[level] * 3 for level in range(256)], tf.uint8)
    is_grey = tf.reduce_all(tf.reshape(palette, [256, 4])[:, :3] == grey)
    first_masks = tf.stack([number(raw, MASKS + at, 4, little=True) for at in (0, 4, 8)])
    is_plain = (compression == 0) | (
        (compression == 3) & (bits == 32) & tf.reduce_all(first_masks == [0xFF0000, 0xFF00, 0xFF])
    )
    is_read = is_plain & ((bits == 24) | (bits == 32) | ((bits == 8) & is_grey))
    problem = "this BMP has a palette, packed or compressed pixels, which cannot be read; save it"
    require(is_read, f"{problem} as PNG or as 24-bit BMP: magick IN OUT.png. Bits per pixel:", bits)
    has_mask = (header_bytes >= WITH_ALPHA_MASK) & (compression == 3)
    return has_mask & (number(raw, MASKS + 12, 4, little=True) == 0xFF000000)
