"""Reads numbers from the bytes of a file, and refuses images that are too large to decode."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

# A small file may claim to be larger than any memory. A canvas of 11,585 by 11,585 is allowed, of
# which TensorFlow makes up to 2 GB while alpha is laid on white.
MOST_PIXELS = 2**27
# Blocks of a file that are looked at, which takes a second; a real one has some thousand at most.
MOST_BLOCKS = 2**14


def small_enough(
    value: tf.Tensor, height: tf.Tensor, width: tf.Tensor, most: int | None = None
) -> tf.Tensor:
    """Returns `value`, if a picture of these sides has no more than `MOST_PIXELS`, or `most`.

    Raises:
        tf.errors.InvalidArgumentError: It has more.
    """
    import tensorflow as tf

    most = MOST_PIXELS if most is None else most
    sides = tf.cast([height, width], tf.int64)
    fault = "this picture is too large, its height and width are"
    fix = f"and no more than {most} pixels are decoded; scale it: magick IN -resize 25% OUT"
    check = require(tf.reduce_prod(sides) <= most, fault, *tf.unstack(sides), fix)
    # In a graph only this makes what uses the value wait for the check.
    with tf.control_dependencies([check]):
        return tf.identity(value)


def walk(
    goes_on: Callable[..., tf.Tensor], step: Callable[..., tuple[Any, ...]], *start: Any
) -> tuple[tf.Tensor, ...]:
    """Returns the last state of a walk from block to block, each state a tuple of tensors.

    Raises:
        tf.errors.InvalidArgumentError: It takes more than `MOST_BLOCKS` steps.
    """
    import tensorflow as tf

    end = tf.while_loop(goes_on, step, start, maximum_iterations=MOST_BLOCKS)
    fault = f"this picture has more than {MOST_BLOCKS} blocks; save it again: magick IN OUT"
    with tf.control_dependencies([require(~goes_on(*end), fault)]):
        return tuple(tf.identity(each) for each in end)


def require(condition: tf.Tensor, *message: tf.Tensor | str) -> tf.Operation | None:
    """Returns the op, None if it ran at once, that raises InvalidArgumentError with `message`.

    `tf.debugging.Assert` puts it into two more functions, which each take time to be traced.
    """
    import tensorflow as tf

    return tf.raw_ops.Assert(condition=condition, data=list(message))


def number(
    raw: tf.Tensor, at: tf.Tensor | int, size: int, little: tf.Tensor | bool = False
) -> tf.Tensor:
    """Returns the unsigned int64 in `size` bytes of `raw` from `at`; bytes beyond it are 0.

    `at` may have any shape; `little` says that the lowest byte comes first.
    """
    import tensorflow as tf

    found = substring(raw, at, size)

    def low() -> tf.Tensor:
        return tf.io.decode_raw(found, tf.int64, fixed_length=8)

    def high() -> tf.Tensor:
        padded = bytes(8 - size) + found
        return tf.io.decode_raw(padded, tf.int64, little_endian=False, fixed_length=8)

    if isinstance(little, bool):  # Half as many ops, which all take time to be traced.
        values = low() if little else high()
    else:
        values = tf.where(little, low(), high())
    return tf.squeeze(values, axis=-1)


def eight_bytes(raw: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Returns the int64, highest byte first, in 8 bytes of `raw` from `at`; 0 beyond its end.

    One read of all that a step of a walk wants to know takes half as long as one of each part.
    """
    import tensorflow as tf

    found = substring(raw, at, 8)
    return tf.io.decode_raw(found, tf.int64, little_endian=False, fixed_length=8)[0]


def part(value: tf.Tensor, first: int, size: int) -> tf.Tensor:
    """Returns the unsigned number in `size` bytes, from the `first`, of `eight_bytes`."""
    import tensorflow as tf

    shifted = tf.bitwise.right_shift(value, tf.constant(8 * (8 - first - size), tf.int64))
    return tf.bitwise.bitwise_and(shifted, tf.constant(2 ** (8 * size) - 1, tf.int64))


def substring(raw: tf.Tensor, at: tf.Tensor | int, size: tf.Tensor | int) -> tf.Tensor:
    """Returns up to `size` bytes of `raw` from `at`; none beyond its end."""
    import tensorflow as tf

    places = tf.minimum(tf.cast(at, tf.int64), tf.cast(tf.strings.length(raw), tf.int64))
    sizes = tf.cast(size, tf.int64)
    if places.shape.rank != 0:
        sizes = tf.fill(tf.shape(places), sizes)
    return tf.strings.substr(raw, places, sizes)
