"""What TensorFlow does not read, or reads wrongly, in the headers of picture files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

# Offsets in a BMP file: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage
BMP_HEADER_BYTES, BMP_BITS, BMP_COMPRESSION, BMP_MASKS = 14, 28, 30, 54
BMP_WITH_ALPHA_MASK = 56

JPEG_START_OF_SCAN, JPEG_APP1 = 0xDA, 0xE1
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

    data = tf.io.decode_raw(tf.strings.substr(raw, 0, MOST_HEADER_BYTES), tf.uint8)
    start = tiff_start(data)
    little = number(data, start, 2, little=False) == int.from_bytes(b"II", "big")
    directory = start + number(data, start + 4, 4, little)
    count = number(data, directory, 2, little)
    entries = directory + 2 + 12 * tf.range(count)
    is_orientation = number(data, entries, 2, little) == EXIF_ORIENTATION
    values = number(data, entries + 8, 2, little)
    value = tf.concat([tf.boolean_mask(values, is_orientation), [1]], axis=0)[0]
    return tf.where((start > 0) & (value >= 1) & (value <= 8), value, 1)


def tiff_start(data: tf.Tensor) -> tf.Tensor:
    """Returns where the EXIF block of the JPEG bytes `data` starts, or 0 if there is none."""
    import tensorflow as tf

    name = int.from_bytes(b"Exif\0\0", "big")

    def is_exif(at: tf.Tensor) -> tf.Tensor:
        is_app1 = number(data, at + 1, 1, little=False) == JPEG_APP1
        return is_app1 & (number(data, at + 4, 6, little=False) == name)

    def is_other(at: tf.Tensor) -> tf.Tensor:
        is_marker = number(data, at, 1, little=False) == 0xFF
        is_header = number(data, at + 1, 1, little=False) != JPEG_START_OF_SCAN
        return is_marker & is_header & ~is_exif(at)

    def following(at: tf.Tensor) -> tf.Tensor:
        # Any number of 0xFF may stand before a marker. A segment counts its own two length
        # bytes; the 2 more let a damaged length of 0 move on too.
        is_fill = number(data, at + 1, 1, little=False) == 0xFF
        return tf.where(is_fill, at + 1, at + 2 + number(data, at + 2, 2, little=False))

    (at,) = tf.while_loop(is_other, lambda at: (following(at),), (tf.constant(2, tf.int64),))
    return tf.where(is_exif(at), at + 10, 0)


def check_bmp(raw: tf.Tensor) -> tf.Tensor:
    """Returns whether the fourth channel of a BMP is alpha, and not padding.

    Raises:
        tf.errors.InvalidArgumentError: TensorFlow 2.21 would give wrong pixels without a word: it
            takes palette numbers for grey levels, and knows neither packed nor run-length pixels.
    """
    import tensorflow as tf

    # The header, a palette of 256 colours, and room for a header longer than the usual.
    head = first_bytes(raw, 2048)
    header_bytes = number(head, BMP_HEADER_BYTES, 4, little=True)
    bits = number(head, BMP_BITS, 2, little=True)
    compression = number(head, BMP_COMPRESSION, 4, little=True)
    palette = head[BMP_HEADER_BYTES + tf.clip_by_value(header_bytes, 0, 512) :][: 4 * 256]
    grey = tf.repeat(tf.range(256, dtype=tf.int64)[:, tf.newaxis], 3, axis=1)
    is_grey = tf.reduce_all(tf.reshape(palette, [256, 4])[:, :3] == grey)
    masks = tf.stack([number(head, BMP_MASKS + 4 * i, 4, little=True) for i in range(3)])
    is_plain = (compression == 0) | (
        (compression == 3) & (bits == 32) & tf.reduce_all(masks == [0xFF0000, 0xFF00, 0xFF])
    )
    is_read = is_plain & ((bits == 24) | (bits == 32) | ((bits == 8) & is_grey))
    problem = "this BMP has a palette, packed or compressed pixels, which cannot be read; save it"
    tf.debugging.Assert(is_read, [f"{problem} as PNG or as 24-bit BMP. Bits per pixel:", bits])
    has_mask = (header_bytes >= BMP_WITH_ALPHA_MASK) & (compression == 3)
    return has_mask & (number(head, BMP_MASKS + 12, 4, little=True) == 0xFF000000)


def with_alpha_flag(raw: tf.Tensor) -> tf.Tensor:
    """Returns the file `raw`; an animated WebP says that it has alpha, whether it does or not.

    TensorFlow 2.21 writes four channels of every animated WebP, but makes room for three if the
    file says that it has no alpha, and so overwrites other memory of the process.

    Raises:
        tf.errors.InvalidArgumentError: The file claims a canvas of more than `MOST_PIXELS`, for
            which TensorFlow would work for a minute.
    """
    import tensorflow as tf

    head = first_bytes(raw, 30)
    flags = head[WEBP_FLAGS]
    is_extended = number(head, 12, 4, little=False) == int.from_bytes(b"VP8X", "big")
    is_animated = is_extended & (tf.bitwise.bitwise_and(flags, WEBP_ANIMATED) > 0)
    width, height = (1 + number(head, at, 3, little=True) for at in WEBP_SIDES)
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
    check = tf.debugging.Assert(
        is_sane, ["this picture is too large, its sides are", height, width]
    )
    # In a graph only this makes what uses the value wait for the check.
    with tf.control_dependencies([check]):
        return tf.identity(value)


def first_bytes(raw: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the first `count` bytes of `raw` as int64, zeros after its end."""
    import tensorflow as tf

    return tf.cast(tf.io.decode_raw(raw, tf.uint8, fixed_length=count), tf.int64)


def number(data: tf.Tensor, at: tf.Tensor | int, size: int, little: tf.Tensor | bool) -> tf.Tensor:
    """Returns the unsigned int64 in `size` bytes of `data` from `at`; bytes beyond it are 0.

    `at` may have any shape; `little` says that the lowest byte comes first.
    """
    import tensorflow as tf

    steps = tf.range(size, dtype=tf.int64)
    places = tf.cast(at, tf.int64)[..., tf.newaxis] + steps
    length = tf.size(data, out_type=tf.int64)
    inside = (places >= 0) & (places < length)
    found = tf.gather(data, tf.where(inside, places, 0))
    digits = tf.where(inside, tf.cast(found, tf.int64), 0)
    powers = tf.where(little, steps, size - 1 - steps)
    return tf.reduce_sum(tf.bitwise.left_shift(digits, 8 * powers), axis=-1)
