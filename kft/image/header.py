"""What TensorFlow does not read, or reads wrongly, in the headers of picture files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

# Offsets in a BMP file: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage
BMP_HEADER_BYTES, BMP_BITS, BMP_COMPRESSION, BMP_MASKS = 14, 28, 30, 54
BMP_WITH_ALPHA_MASK = 56

JPEG_MARKERS, JPEG_START_OF_SCAN, JPEG_APP1, JPEG_FILL = 0xFF00, 0xFFDA, 0xFFE1, 0xFFFF
EXIF_ORIENTATION = 0x0112
# Such as most programs write: a JFIF segment, then at once the first table of the picture.
JFIF, JFIF_VALUES, JPEG_TABLE = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", 9, b"\xff\xdb"
# Where EXIF blocks start: by their standard at once, in practice perhaps after a colour profile.
MOST_HEADER_BYTES = 2**17

# https://developers.google.com/speed/webp/docs/riff_container
WEBP_FLAGS, WEBP_ANIMATED, WEBP_ALPHA, WEBP_SIDES = 20, 0x02, 0x10, (24, 27)

# A small damaged file may claim to be larger than any memory.
MOST_PIXELS = 2**27


def is_bare(raw: tf.Tensor) -> tf.Tensor:
    """Says, in a few ops, whether a JPEG is known to have no header but JFIF."""
    import tensorflow as tf

    bare = [*JFIF, *[None] * JFIF_VALUES, *JPEG_TABLE]
    expected = tf.constant([byte or 0 for byte in bare], tf.uint8)
    is_free = tf.constant([byte is None for byte in bare])
    found = tf.io.decode_raw(raw, tf.uint8, fixed_length=len(bare))
    return tf.reduce_all((found == expected) | is_free)


def exif_orientation(raw: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a JPEG, 1 to 8; 1 where there is none or it is damaged."""
    import tensorflow as tf

    head = tf.strings.substr(raw, 0, MOST_HEADER_BYTES)
    start = tiff_start(head)
    little = number(head, start, 2) == int.from_bytes(b"II", "big")
    directory = start + number(head, start + 4, 4, little)
    count = number(head, directory, 2, little)
    entries = directory + 2 + 12 * tf.range(count)
    is_orientation = number(head, entries, 2, little) == EXIF_ORIENTATION
    values = number(head, entries + 8, 2, little)
    value = tf.concat([tf.boolean_mask(values, is_orientation), [1]], axis=0)[0]
    return tf.where((start > 0) & (value >= 1) & (value <= 8), value, 1)


def tiff_start(head: tf.Tensor) -> tf.Tensor:
    """Returns where the EXIF block of the JPEG that begins with `head` starts; 0 if it has none."""
    import tensorflow as tf

    name = int.from_bytes(b"Exif\0\0", "big")

    def is_exif(at: tf.Tensor) -> tf.Tensor:
        return (number(head, at, 2) == JPEG_APP1) & (number(head, at + 4, 6) == name)

    def is_other(at: tf.Tensor) -> tf.Tensor:
        marker = number(head, at, 2)
        return (marker >= JPEG_MARKERS) & (marker != JPEG_START_OF_SCAN) & ~is_exif(at)

    def following(at: tf.Tensor) -> tf.Tensor:
        # Any number of 0xFF may stand before a marker. A segment counts its own two length
        # bytes; the 2 more let a damaged length of 0 move on too.
        is_fill = number(head, at, 2) == JPEG_FILL
        return tf.where(is_fill, at + 1, at + 2 + number(head, at + 2, 2))

    (at,) = tf.while_loop(is_other, lambda at: (following(at),), (tf.constant(2, tf.int64),))
    return tf.where(is_exif(at), at + 10, 0)


def check_bmp(raw: tf.Tensor) -> tf.Tensor:
    """Returns whether the fourth channel of a BMP is alpha, and not padding.

    Raises:
        tf.errors.InvalidArgumentError: TensorFlow 2.21 would give wrong pixels without a word: it
            takes palette numbers for grey levels, and knows neither packed nor run-length pixels.
    """
    import tensorflow as tf

    header_bytes = number(raw, BMP_HEADER_BYTES, 4, little=True)
    bits = number(raw, BMP_BITS, 2, little=True)
    compression = number(raw, BMP_COMPRESSION, 4, little=True)
    after_header = substring(raw, BMP_HEADER_BYTES + header_bytes, 4 * 256)
    palette = tf.io.decode_raw(after_header, tf.uint8, fixed_length=4 * 256)
    grey = tf.constant([[level] * 3 for level in range(256)], tf.uint8)
    is_grey = tf.reduce_all(tf.reshape(palette, [256, 4])[:, :3] == grey)
    masks = number(raw, BMP_MASKS + tf.constant([0, 4, 8]), 4, little=True)
    is_plain = (compression == 0) | (
        (compression == 3) & (bits == 32) & tf.reduce_all(masks == [0xFF0000, 0xFF00, 0xFF])
    )
    is_read = is_plain & ((bits == 24) | (bits == 32) | ((bits == 8) & is_grey))
    problem = "this BMP has a palette, packed or compressed pixels, which cannot be read; save it"
    require(is_read, f"{problem} as PNG or as 24-bit BMP. Bits per pixel:", bits)
    has_mask = (header_bytes >= BMP_WITH_ALPHA_MASK) & (compression == 3)
    return has_mask & (number(raw, BMP_MASKS + 12, 4, little=True) == 0xFF000000)


def with_alpha_flag(raw: tf.Tensor) -> tf.Tensor:
    """Returns the file `raw`; an animated WebP says that it has alpha, whether it does or not.

    TensorFlow 2.21 writes four channels of every animated WebP, but makes room for three if the
    file says that it has no alpha, and so overwrites other memory of the process.

    Raises:
        tf.errors.InvalidArgumentError: The file claims a canvas of more than `MOST_PIXELS`, for
            which TensorFlow would work for a minute.
    """
    import tensorflow as tf

    flags = number(raw, WEBP_FLAGS, 1)
    is_extended = number(raw, 12, 4) == int.from_bytes(b"VP8X", "big")
    is_animated = is_extended & (tf.bitwise.bitwise_and(flags, WEBP_ANIMATED) > 0)
    width, height = (1 + number(raw, at, 3, little=True) for at in WEBP_SIDES)
    raw = small_enough(raw, tf.where(is_extended, height, 1), width)
    flagged = tf.constant([bytes([value | WEBP_ALPHA]) for value in range(256)])

    def rewritten() -> tf.Tensor:
        before = tf.strings.substr(raw, 0, WEBP_FLAGS)
        after = tf.strings.substr(raw, WEBP_FLAGS + 1, tf.strings.length(raw))
        return before + flagged[flags] + after

    return tf.cond(is_animated, rewritten, lambda: raw)


def small_enough(value: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns `value`, if a picture of these sides has no more than `MOST_PIXELS`.

    Raises:
        tf.errors.InvalidArgumentError: It has more.
    """
    import tensorflow as tf

    is_sane = height <= MOST_PIXELS // width
    check = require(is_sane, "this picture is too large, its sides are", height, width)
    # In a graph only this makes what uses the value wait for the check.
    with tf.control_dependencies([check]):
        return tf.identity(value)


def require(condition: tf.Tensor, *told: tf.Tensor | str) -> tf.Operation | None:
    """Returns the op, None if it ran at once, that raises InvalidArgumentError with what is told.

    `tf.debugging.Assert` puts it into two more functions, which each take time to be traced.
    """
    import tensorflow as tf

    return tf.raw_ops.Assert(condition=condition, data=list(told))


def number(
    raw: tf.Tensor, at: tf.Tensor | int, size: int, little: tf.Tensor | bool = False
) -> tf.Tensor:
    """Returns the unsigned int64 in `size` bytes of `raw` from `at`; bytes beyond it are 0.

    `at` may have any shape; `little` says that the lowest byte comes first.
    """
    import tensorflow as tf

    found = substring(raw, at, size)
    low = tf.io.decode_raw(found, tf.int64, fixed_length=8)
    high = tf.io.decode_raw(bytes(8 - size) + found, tf.int64, little_endian=False, fixed_length=8)
    return tf.squeeze(tf.where(little, low, high), axis=-1)


def substring(raw: tf.Tensor, at: tf.Tensor | int, size: int) -> tf.Tensor:
    """Returns up to `size` bytes of `raw` from `at`; none beyond its end."""
    import tensorflow as tf

    places = tf.minimum(tf.cast(at, tf.int64), tf.cast(tf.strings.length(raw), tf.int64))
    return tf.strings.substr(raw, places, tf.fill(tf.shape(places), tf.constant(size, tf.int64)))
