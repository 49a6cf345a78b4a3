"""JPEG files: https://www.w3.org/Graphics/JPEG/itu-t81.pdf."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kft.image import header
from kft.image.exif import orientation_of
from kft.image.header import eight_bytes, part, small_enough, substring, walk
from kft.image.one_op import apart
from kft.image.pixels import upright

if TYPE_CHECKING:
    import tensorflow as tf

# Any marker, and those that begin the pixels, EXIF or what Adobe says; 0xFF may be repeated.
MARKERS, START_OF_SCAN, APP1, APP14, FILL = 0xFF00, 0xFFDA, 0xFFE1, 0xFFEE, 0xFFFF
AFTER_START, MARKER_BYTES, LENGTH_BYTES = 2, 2, 2
EXIF, ADOBE = (int.from_bytes(name, "big") for name in (b"Exif", b"Adob"))
# Says of four inks that they are not turned into others, and so are inverted.
ADOBE_SEGMENT = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
INKS = 4
# Such as most programs write: a JFIF segment, then at once the first table of the picture.
JFIF, JFIF_VALUES, TABLE = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", 9, b"\xff\xdb"

# What libjpeg can divide the sides by while it decodes.
RATIOS = (1, 2, 4, 8)
# How much larger than what it is scaled to a JPEG is decoded at least. From there on a photo is
# within a mean of 2 grey levels of the one decoded whole; at 1 it is often beyond them.
MARGIN = 1.5
# Times as many pixels as of others, since most of them are decoded at a fraction.
MORE_PIXELS = 2


def decode_jpeg(
    raw: tf.Tensor, scaled: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the upright pixels of a JPEG and their sides, as `decode_to_scale` does."""
    import tensorflow as tf

    none = tf.constant(1, tf.int64)
    orientation = tf.cond(is_bare(raw), lambda: none, lambda: apart(exif_orientation)(raw))
    shape = tf.io.extract_jpeg_shape(raw, output_type=tf.int64)
    lying = tf.cast(shape[:2], tf.float64)
    sides = tf.where(orientation > 4, lying[::-1], lying)
    room = tf.reduce_min(sides / tf.cast(scaled(sides), tf.float64)) / MARGIN
    halvings = tf.reduce_sum(tf.cast(room >= tf.constant(RATIOS[1:], tf.float64), tf.int32))
    is_usual = (shape[2] < INKS) & (shape[0] * shape[1] <= header.MOST_PIXELS)
    ratio = tf.gather(tf.constant(RATIOS, tf.int64), halvings)
    file = tf.cond(is_usual, lambda: raw, lambda: apart(unusual)(raw, shape, ratio))
    pixels = tf.switch_case(halvings, [decoder_at(file, ratio) for ratio in RATIOS])
    return upright(pixels, orientation), sides / tf.cast(ratio, tf.float64)


def decoder_at(raw: tf.Tensor, ratio: int) -> Callable[[], tf.Tensor]:
    """A decoder of a JPEG that divides its sides by `ratio`, rounded up."""
    import tensorflow as tf

    return lambda: tf.io.decode_jpeg(raw, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def is_bare(raw: tf.Tensor) -> tf.Tensor:
    """Says, in a few ops, whether a JPEG is known to have no header but JFIF."""
    import tensorflow as tf

    bare = [*JFIF, *[None] * JFIF_VALUES, *TABLE]
    expected = tf.constant([byte or 0 for byte in bare], tf.uint8)
    is_free = tf.constant([byte is None for byte in bare])
    found = tf.io.decode_raw(raw, tf.uint8, fixed_length=len(bare))
    return tf.reduce_all((found == expected) | is_free)


def unusual(raw: tf.Tensor, shape: tf.Tensor, ratio: tf.Tensor) -> tf.Tensor:
    """Returns the file `raw`, of this `shape`; with an Adobe segment if it is of inks without one.

    TensorFlow takes these as they are then, while those who write them, Pillow and browsers take
    them as inverted, as Adobe's are.

    Raises:
        tf.errors.InvalidArgumentError: It is too large, as a whole or at the fraction `ratio`.
    """
    import tensorflow as tf

    raw = small_enough(raw, shape[0], shape[1], MORE_PIXELS * header.MOST_PIXELS)
    raw = small_enough(raw, -(-shape[0] // ratio), -(-shape[1] // ratio))
    rest = tf.strings.substr(raw, AFTER_START, tf.strings.length(raw))
    marked = tf.strings.substr(raw, 0, AFTER_START) + ADOBE_SEGMENT + rest
    return tf.where(lacks_adobe(raw, shape), marked, raw)


def lacks_adobe(raw: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Says whether a JPEG of this `shape` is of four inks, and no Adobe segment says how."""
    import tensorflow as tf

    return tf.cond(
        shape[2] == INKS,
        lambda: found(raw, APP14, ADOBE)[1] != APP14,
        lambda: tf.constant(False),
    )


def exif_orientation(raw: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a JPEG, 1 to 8; 1 where there is none or it is damaged."""
    import tensorflow as tf

    at, marker = found(raw, APP1, EXIF)
    length = part(eight_bytes(raw, at), MARKER_BYTES, LENGTH_BYTES) - LENGTH_BYTES
    start = at + MARKER_BYTES + LENGTH_BYTES
    return apart(orientation_of)(substring(raw, start, tf.where(marker == APP1, length, 0)))


def found(raw: tf.Tensor, wanted: int, name: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The offset of the segment `wanted` that has this name, and its marker.

    That is another marker where a JPEG has no such segment before its pixels.
    """
    import tensorflow as tf

    # As tensors, so that all that is looked for is one graph.
    at, marker = apart(segment)(raw, tf.constant(wanted, tf.int64), tf.constant(name, tf.int64))
    return at, marker


def segment(raw: tf.Tensor, wanted: tf.Tensor, name: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `found`."""
    import tensorflow as tf

    def is_wanted(here: tf.Tensor) -> tf.Tensor:
        return (part(here, 0, 2) == wanted) & (part(here, 4, 4) == name)

    def goes_on(at: tf.Tensor, here: tf.Tensor) -> tf.Tensor:
        marker = part(here, 0, 2)
        return (marker >= MARKERS) & (marker != START_OF_SCAN) & ~is_wanted(here)

    def step(at: tf.Tensor, here: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # Any number of 0xFF may stand before a marker. A segment counts its own two length
        # bytes; the 2 more let a damaged length of 0 move on too.
        is_fill = part(here, 0, 2) == FILL
        at = tf.where(is_fill, at + 1, at + MARKER_BYTES + part(here, 2, 2))
        return at, eight_bytes(raw, at)

    start = tf.constant(AFTER_START, tf.int64)
    at, here = walk(goes_on, step, start, eight_bytes(raw, start))
    return at, part(here, 0, 2)
