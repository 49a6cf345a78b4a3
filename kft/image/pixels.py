"""From the pixels that a file holds to RGB, seen on white and the right way up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def as_rgb(pixels: tf.Tensor) -> tf.Tensor:
    """Returns ``(height, width, 3)`` of uint8 `pixels` with 1 to 4 channels.

    These are grey, grey and alpha, RGB, RGB and alpha; alpha is laid on white.
    """
    import tensorflow as tf

    return tf.switch_case(
        tf.shape(pixels)[2] - 1,
        [
            lambda: tf.tile(pixels, [1, 1, 3]),
            lambda: tf.tile(on_white(pixels), [1, 1, 3]),
            lambda: pixels,
            lambda: on_white(pixels),
        ],
    )


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

    def turned() -> tf.Tensor:
        axes = tf.where(is_one_of(5, 6, 7, 8), [1, 0, 2], [0, 1, 2])
        down = tf.where(is_one_of(3, 4, 7, 8), -1, 1)
        right = tf.where(is_one_of(2, 3, 6, 7), -1, 1)
        return tf.transpose(pixels, axes)[::down, ::right]

    return tf.cond(orientation > 1, turned, lambda: pixels)
