"""WebP files: https://developers.google.com/speed/webp/docs/riff_container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kft.image.exif import orientation_of
from kft.image.header import eight_bytes, number, part, require, small_enough, substring, walk
from kft.image.one_op import apart

if TYPE_CHECKING:
    import tensorflow as tf

START = b"RIFF"
EXTENDED, LOSSY, LOSSLESS, EXIF = (
    int.from_bytes(name, "big") for name in (b"VP8X", b"VP8 ", b"VP8L", b"EXIF")
)
# Offsets in the file; of the sides, width before height, by the first chunk.
FIRST_CHUNK, FLAGS = 12, 20
EXTENDED_SIDES, LOSSY_SIDES, LOSSLESS_SIDES = (24, 27), (26, 28), 21
HAS_EXIF, IS_ANIMATED, HAS_ALPHA = 0x08, 0x02, 0x10
NAME_BYTES, LENGTH_BYTES = 4, 4


def decode_webp(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the pixels and orientation of a WebP, of an animated one those of its first frame.

    Raises:
        tf.errors.InvalidArgumentError: It is damaged or too large.
    """
    import tensorflow as tf

    name = number(raw, FIRST_CHUNK, NAME_BYTES)
    flags = tf.where(name == EXTENDED, number(raw, FLAGS, 1), 0)
    raw = small_enough(raw, *sides_of(raw, name))
    file = tf.cond(has(flags, IS_ANIMATED), lambda: with_alpha_flag(raw, flags), lambda: raw)
    pixels = tf.io.decode_image(file, channels=0, expand_animations=False)
    none = tf.constant(1, tf.int64)
    orientation = tf.cond(has(flags, HAS_EXIF), lambda: orientation_in(raw), lambda: none)
    return pixels, orientation


def has(flags: tf.Tensor, flag: int) -> tf.Tensor:
    """Says whether `flag` is set in `flags`."""
    import tensorflow as tf

    return tf.bitwise.bitwise_and(flags, tf.constant(flag, tf.int64)) > 0


def sides_of(raw: tf.Tensor, name: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the height and width that a WebP claims whose first chunk has this `name`.

    Raises:
        tf.errors.InvalidArgumentError: It begins with another chunk than a WebP does.
    """
    import tensorflow as tf

    is_known = (name == EXTENDED) | (name == LOSSY) | (name == LOSSLESS)
    fault = "Invalid WebP: it does not begin with pixels or the size of its canvas"
    with tf.control_dependencies([require(is_known, fault)]):
        canvas = tf.stack([1 + number(raw, at, 3, little=True) for at in EXTENDED_SIDES])
    lossy = tf.stack([number(raw, at, 2, little=True) % 2**14 for at in LOSSY_SIDES])
    bits = number(raw, LOSSLESS_SIDES, 4, little=True)
    lossless = 1 + tf.stack([bits % 2**14, bits // 2**14 % 2**14])
    width, height = tf.unstack(
        tf.where(name == EXTENDED, canvas, tf.where(name == LOSSY, lossy, lossless))
    )
    return height, width


def with_alpha_flag(raw: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
    """Returns the file `raw` with `flags` that say that it has alpha, whether it does or not.

    TensorFlow 2.21 writes four channels of every animated WebP, but makes room for three if the
    file says that it has no alpha, and so overwrites other memory of the process.
    """
    import tensorflow as tf

    flagged = tf.constant([bytes([value | HAS_ALPHA]) for value in range(256)])
    before = tf.strings.substr(raw, 0, FLAGS)
    after = tf.strings.substr(raw, FLAGS + 1, tf.strings.length(raw))
    return before + tf.gather(flagged, flags) + after


def orientation_in(raw: tf.Tensor) -> tf.Tensor:
    """Returns the orientation that the EXIF chunk of a WebP gives; 1 if it has none."""
    import tensorflow as tf

    size = tf.cast(tf.strings.length(raw), tf.int64)

    def goes_on(at: tf.Tensor, here: tf.Tensor) -> tf.Tensor:
        return (at < size) & (part(here, 0, 4) != EXIF)

    def step(at: tf.Tensor, here: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # A chunk of odd length has one more byte.
        length = number(raw, at + NAME_BYTES, LENGTH_BYTES, little=True)
        at += NAME_BYTES + LENGTH_BYTES + length + length % 2
        return at, eight_bytes(raw, at)

    start = tf.constant(FIRST_CHUNK, tf.int64)
    at, _ = walk(goes_on, step, start, eight_bytes(raw, start))
    length = number(raw, at + NAME_BYTES, LENGTH_BYTES, little=True)
    return apart(orientation_of)(substring(raw, at + NAME_BYTES + LENGTH_BYTES, length))
