"""BMP files: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kft.image.header import number, require, small_enough, substring

if TYPE_CHECKING:
    import tensorflow as tf

START = b"BM"
# Offsets in the file, and the size of its headers.
PIXELS, HEADER_BYTES, SIDES, BITS, COMPRESSION, COLOURS, MASKS = 10, 14, (22, 18), 28, 30, 46, 54
MOST_COLOURS = 256
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
        raw = small_enough(raw, tf.abs(height), tf.abs(width))

    def plain() -> tf.Tensor:
        pixels = tf.io.decode_bmp(raw)
        is_padded = (tf.shape(pixels)[2] == 4) & ~has_alpha
        return tf.cond(is_padded, lambda: pixels[:, :, :3], lambda: pixels)

    has_palette = number(raw, BITS, 2, little=True) <= 8
    pixels = tf.cond(has_palette, lambda: decode_palette(raw, height, width), plain)
    return pixels, tf.constant(1, tf.int64)


def signed(value: tf.Tensor) -> tf.Tensor:
    """Returns the signed number that 32 bits, an unsigned one, also are: rows from the top down."""
    import tensorflow as tf

    return tf.where(value >= 2**31, value - 2**32, value)


def check_bmp(raw: tf.Tensor) -> tf.Tensor:
    """Whether the fourth channel of a BMP is alpha, and not padding.

    Raises:
        tf.errors.InvalidArgumentError: It has packed or run-length pixels, which TensorFlow 2.21
            would take for others without a word.
    """
    import tensorflow as tf

    header_bytes = number(raw, HEADER_BYTES, 4, little=True)
    bits = number(raw, BITS, 2, little=True)
    compression = number(raw, COMPRESSION, 4, little=True)
    first_masks = tf.stack([number(raw, MASKS + at, 4, little=True) for at in (0, 4, 8)])
    is_usual = tf.reduce_all(first_masks == [0xFF0000, 0xFF00, 0xFF])
    is_plain = (compression == 0) | ((compression == 3) & (bits == 32) & is_usual)
    is_read = is_plain & tf.reduce_any(bits == [1, 4, 8, 24, 32])
    problem = "this BMP has packed or compressed pixels, which cannot be read; save it as PNG"
    require(is_read, f"{problem}, such as by magick IN OUT.png. Bits per pixel:", bits)
    has_mask = (header_bytes >= WITH_ALPHA_MASK) & (compression == 3)
    return has_mask & (number(raw, MASKS + 12, 4, little=True) == 0xFF000000)


def decode_palette(raw: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns the RGB pixels of a BMP with a palette, which TensorFlow 2.21 would read as grey.

    `height` is negative where the rows go from the top down. Colours that the palette lacks are
    black.

    Raises:
        tf.errors.InvalidArgumentError: It is cut off.
    """
    import tensorflow as tf

    bits = number(raw, BITS, 2, little=True)
    row_bytes = (bits * width + 31) // 32 * 4
    rows = tf.abs(height)
    packed = substring(raw, number(raw, PIXELS, 4, little=True), rows * row_bytes)
    size = tf.cast(tf.strings.length(packed), tf.int64)
    is_whole = (width > 0) & (rows > 0) & (size == rows * row_bytes)
    with tf.control_dependencies(
        [require(is_whole, "Invalid BMP: it is cut off or has no pixels")]
    ):
        values = tf.io.decode_raw(packed, tf.uint8)
    # The first pixel has the highest bits of a byte.
    shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)
    mask = tf.cast(2**bits - 1, tf.uint8)
    values = tf.bitwise.right_shift(values[:, tf.newaxis], shifts)
    values = tf.bitwise.bitwise_and(values, mask)
    values = tf.reshape(values, tf.stack([rows, row_bytes * 8 // bits]))[:, :width]
    upwards = tf.where(height > 0, -1, 1)
    return tf.gather(palette_of(raw, bits), tf.cast(values[::upwards], tf.int32))


def palette_of(raw: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Returns the RGB colours of a BMP, uint8 ``(256, 3)``, black after the last."""
    import tensorflow as tf

    given = number(raw, COLOURS, 4, little=True)
    colours = tf.where(given == 0, 2**bits, tf.minimum(given, MOST_COLOURS))
    start = HEADER_BYTES + number(raw, HEADER_BYTES, 4, little=True)
    found = substring(raw, start, 4 * colours)
    palette = tf.io.decode_raw(found, tf.uint8, fixed_length=4 * MOST_COLOURS)
    return tf.reshape(palette, [MOST_COLOURS, 4])[:, 2::-1]
