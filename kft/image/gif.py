"""GIF files: https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kft.image.header import eight_bytes, number, part, require, small_enough, substring, walk

if TYPE_CHECKING:
    import tensorflow as tf

START = b"GIF"
SCREEN_SIDES, SCREEN_FLAGS, AFTER_SCREEN = (6, 8), 10, 13
EXTENSION, CONTROL, IMAGE = 0x21, 0x21F904, 0x2C
# Offsets in an image, and its size up to its palette.
IMAGE_PLACE, IMAGE_SIDES, IMAGE_FLAGS, IMAGE_BYTES = (1, 3), (5, 7), 9, 10
HAS_PALETTE, IS_INTERLACED = 0x80, 0x40
COLOURS = 256
# How many blocks of pixels are looked at in one step.
BLOCKS = 256


def decode_gif(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the pixels of the first frame of a GIF on its white canvas, and 1: it is not turned.

    TensorFlow 2.21 reads all frames before it gives one, shows transparent pixels as black, and
    takes the largest frame for the canvas. So it gets a GIF of that frame alone, which has white
    for the transparent colour.

    Raises:
        tf.errors.InvalidArgumentError: It is damaged or too large.
    """
    import tensorflow as tf

    screen_colours = palette_colours(number(raw, SCREEN_FLAGS, 1))
    image, transparent = first_image(raw, AFTER_SCREEN + 3 * screen_colours)
    require(number(raw, image, 1) == IMAGE, "Invalid GIF: it has no frame")
    canvas, margins = canvas_of(raw, image)
    raw = small_enough(raw, canvas[0], canvas[1])
    colours = palette_colours(number(raw, image + IMAGE_FLAGS, 1))
    require((colours > 0) | (screen_colours > 0), "Invalid GIF: it has no palette")
    start = image + IMAGE_BYTES + 3 * colours
    palette = tf.where(
        colours > 0,
        substring(raw, image + IMAGE_BYTES, 3 * colours),
        substring(raw, AFTER_SCREEN, 3 * screen_colours),
    )
    frame = gif_of(raw, image, white_at(palette, transparent), start)
    pixels = tf.io.decode_image(frame, expand_animations=False)
    pixels = tf.cond(
        tf.reduce_any(margins > 0),
        lambda: tf.pad(pixels, margins, constant_values=255),
        lambda: pixels,
    )
    return pixels, tf.constant(1, tf.int64)


def canvas_of(raw: tf.Tensor, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns height and width of the canvas, and what of it lies around the `image`, ``(3, 2)``.

    An image that stands out of the screen enlarges it.
    """
    import tensorflow as tf

    def sides(places: tuple[int, int], start: tf.Tensor | int = 0) -> tf.Tensor:
        return tf.stack([number(raw, start + at, 2, little=True) for at in reversed(places)])

    before, shown = sides(IMAGE_PLACE, image), sides(IMAGE_SIDES, image)
    canvas = tf.maximum(sides(SCREEN_SIDES), before + shown)
    margins = tf.stack([before, canvas - before - shown], axis=1)
    return canvas, tf.concat([margins, tf.zeros([1, 2], tf.int64)], axis=0)


def palette_colours(flags: tf.Tensor) -> tf.Tensor:
    """The number of colours in the palette of a screen or image with these `flags`."""
    import tensorflow as tf

    return tf.where(flags >= HAS_PALETTE, 2 ** (1 + flags % 8), 0)


def first_image(raw: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The offset of the first image, and the number of its transparent colour.

    Before it, from `start`, come extensions; the number is `COLOURS` if none of them names one.
    """
    import tensorflow as tf

    def goes_on(at: tf.Tensor, inside: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return inside | (number(raw, at, 1) == EXTENSION)

    def step(at: tf.Tensor, inside: tf.Tensor, transparent: tf.Tensor) -> tuple[tf.Tensor, ...]:
        here = eight_bytes(raw, at)
        is_control = ~inside & (part(here, 0, 3) == CONTROL) & (part(here, 3, 1) % 2 == 1)
        transparent = tf.where(is_control, part(here, 6, 1), transparent)
        # Inside of an extension are blocks with their length before them, the last one empty.
        length = part(here, 0, 1)
        return at + tf.where(inside, 1 + length, 2), ~inside | (length > 0), transparent

    state = (start, tf.constant(False), tf.constant(COLOURS, tf.int64))
    at, _, transparent = walk(goes_on, step, *state)
    return at, transparent


def white_at(palette: tf.Tensor, transparent: tf.Tensor) -> tf.Tensor:
    """Returns `COLOURS` colours: those of `palette`, then black, but white as the `transparent`."""
    full = palette + bytes(3 * COLOURS)
    before = substring(full, 0, 3 * transparent)
    after = substring(full, 3 * (transparent + 1), 3 * COLOURS)
    return substring(before + b"\xff\xff\xff" + after, 0, 3 * COLOURS)


def gif_of(raw: tf.Tensor, image: tf.Tensor, palette: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Returns a GIF of nothing but one image, with `palette`, whose pixels begin at `start`."""
    import tensorflow as tf

    sides = substring(raw, image + IMAGE_SIDES[0], 4)
    is_interlaced = number(raw, image + IMAGE_FLAGS, 1) // IS_INTERLACED % 2 == 1
    all_colours = HAS_PALETTE | 7
    flags = tf.where(is_interlaced, bytes([all_colours | IS_INTERLACED]), bytes([all_colours]))
    pixels = substring(raw, start, end_of_pixels(raw, start + 1) - start)
    parts = [b"GIF89a", sides, bytes(3), bytes([IMAGE, *bytes(4)]), sides, flags, palette, pixels]
    return tf.strings.join([*parts, b"\0;"])


def end_of_pixels(raw: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The end of the blocks from `start` on, each with its length before it.

    Most have the same length, and those that follow one another are passed at once.
    """
    import tensorflow as tf

    contents = tf.io.decode_raw(raw, tf.uint8)
    size = tf.size(contents, tf.int64)

    def goes_on(at: tf.Tensor) -> tf.Tensor:
        return (at < size) & (contents[tf.minimum(at, size - 1)] > 0)

    def step(at: tf.Tensor) -> tuple[tf.Tensor, ...]:
        whole = 1 + tf.cast(contents[at], tf.int64)
        lengths = contents[at : at + BLOCKS * whole : whole]
        others = tf.concat([lengths != lengths[0], [True]], axis=0)
        return (at + whole * tf.argmax(others),)

    (end,) = walk(goes_on, step, start)
    return tf.minimum(end, size)
