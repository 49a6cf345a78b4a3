"""PNG files: https://www.w3.org/TR/png-3/."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kft.image.exif import orientation_of
from kft.image.header import eight_bytes, number, part, small_enough, substring, walk
from kft.image.one_op import apart

if TYPE_CHECKING:
    import tensorflow as tf

START = b"\x89PNG\r\n\x1a\n"
# Offsets in the file; the first chunk is the header.
SIDES, COLOUR_TYPE, SECOND_CHUNK = 16, 25, 33
PALETTE = 3
# A chunk has its length and name before it and a check sum after it.
LENGTH_BYTES, NAME_BYTES, AROUND_BYTES = 4, 4, 12
TRANSPARENT, PIXELS, EXIF, END = (
    int.from_bytes(name, "big") for name in (b"tRNS", b"IDAT", b"eXIf", b"IEND")
)


def decode_png(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the pixels and orientation of a PNG, of an animated one those of its still picture.

    Raises:
        tf.errors.InvalidArgumentError: It is damaged or too large.
    """
    import tensorflow as tf

    sides = eight_bytes(raw, SIDES)
    raw = small_enough(raw, part(sides, 4, 4), part(sides, 0, 4))
    none = tf.constant(0, tf.int64)
    transparent, exif = tf.cond(
        pixels_are_last(raw, tf.constant(SECOND_CHUNK, tf.int64)),
        lambda: (tf.constant(False), none),
        lambda: apart(chunks)(raw),
    )
    # By itself TensorFlow 2.21 reads the transparent colours of a palette, but no other one; and a
    # fixed number of channels drops the alpha of some files and adds it to others.
    pixels = tf.cond(
        transparent & (part(eight_bytes(raw, COLOUR_TYPE), 0, 1) != PALETTE),
        lambda: tf.io.decode_png(raw, channels=4),
        lambda: tf.io.decode_png(raw, channels=0),
    )
    orientation = tf.cond(exif > 0, lambda: orientation_at(raw, exif), lambda: none)
    return pixels, orientation


def chunks(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether a PNG has a transparent colour, and where its EXIF chunk is; 0 if nowhere.

    That may come before the pixels or after them.
    """
    import tensorflow as tf

    def goes_on(_: tf.Tensor, here: tf.Tensor, *found: tf.Tensor) -> tf.Tensor:
        name = part(here, 4, 4)
        return (name != PIXELS) & (name != END) & (here > 0)

    def step(
        at: tf.Tensor, here: tf.Tensor, transparent: tf.Tensor, exif: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        name = part(here, 4, 4)
        exif = tf.where(name == EXIF, at, exif)
        at += part(here, 0, 4) + AROUND_BYTES
        return at, eight_bytes(raw, at), transparent | (name == TRANSPARENT), exif

    start, none = tf.constant(SECOND_CHUNK, tf.int64), tf.constant(0, tf.int64)
    first = eight_bytes(raw, start)
    at, _, transparent, exif = walk(goes_on, step, start, first, tf.constant(False), none)
    are_last = pixels_are_last(raw, at)
    return transparent, tf.cond(are_last, lambda: exif, lambda: exif_after(raw, at, exif))


def pixels_are_last(raw: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Says, in a few ops, whether nothing but pixels, and the end, is known to come from `at` on.

    These come in chunks of one size, of which the last may be smaller, without others in between.
    """
    import tensorflow as tf

    end = tf.cast(tf.strings.length(raw), tf.int64) - AROUND_BYTES
    here = eight_bytes(raw, at)
    whole = part(here, 0, 4) + AROUND_BYTES
    last = at + (end - at - 1) // whole * whole
    there = eight_bytes(raw, last)
    are_pixels = (part(here, 4, 4) == PIXELS) & (part(there, 4, 4) == PIXELS)
    return are_pixels & (last + part(there, 0, 4) + AROUND_BYTES == end)


def exif_after(raw: tf.Tensor, at: tf.Tensor, exif: tf.Tensor) -> tf.Tensor:
    """The offset of the EXIF chunk that follows the chunk at `at`; `exif` if none does.

    Where the header of a chunk of pixels is found again at the distance of some of its kind, all
    of them are passed at once, and then twice as many.
    """
    import tensorflow as tf

    def goes_on(at: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        here = eight_bytes(raw, at)
        return (here > 0) & (part(here, 4, 4) != END)

    def step(at: tf.Tensor, leap: tf.Tensor, exif: tf.Tensor) -> tuple[tf.Tensor, ...]:
        here = eight_bytes(raw, at)
        name = part(here, 4, 4)
        whole = part(here, 0, 4) + AROUND_BYTES
        far = at + leap * whole
        leaps = (name == PIXELS) & (eight_bytes(raw, far) == here)
        exif = tf.where(name == EXIF, at, exif)
        return tf.where(leaps, far, at + whole), tf.where(leaps, 2 * leap, 1), exif

    return walk(goes_on, step, at, tf.constant(1, tf.int64), exif)[2]


def orientation_at(raw: tf.Tensor, exif: tf.Tensor) -> tf.Tensor:
    """Returns the orientation that the EXIF chunk which begins at `exif` gives."""
    block = substring(raw, exif + LENGTH_BYTES + NAME_BYTES, number(raw, exif, LENGTH_BYTES))
    return apart(orientation_of)(block)
