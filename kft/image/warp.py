"""Geometric transforms of pictures, and the one resampling that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def rotations(radians: tf.Tensor) -> tf.Tensor:
    """Returns the transforms that turn pictures by `radians` ``(batch,)``, anticlockwise."""
    import tensorflow as tf

    cos, sin = tf.cos(radians), tf.sin(radians)
    return matrices(radians, [[cos, -sin, 0], [sin, cos, 0]])


def matrices(batch: tf.Tensor, rows: Sequence[Sequence[tf.Tensor | float]]) -> tf.Tensor:
    """Returns float32 ``(batch, 3, 3)`` of the upper two `rows`, numbers or ``(batch,)``."""
    import tensorflow as tf

    count = tf.shape(batch)[:1]
    flat = [tf.broadcast_to(tf.cast(value, tf.float32), count) for row in rows for value in row]
    zeros = tf.zeros(count)
    return tf.reshape(tf.stack([*flat, zeros, zeros, zeros + 1], axis=1), [-1, 3, 3])


def width_and_height(images: tf.Tensor) -> tf.Tensor:
    """Returns the float32 sides of `images` in the order of x and y."""
    import tensorflow as tf

    return tf.cast(tf.shape(images)[1:3][::-1], tf.float32)


def warp(images: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
    """Returns float32 `images` resampled as `Geometry.transforms` says, bilinear.

    What comes from outside of the picture is its mirror image at the edge.
    """
    import tensorflow as tf

    middle = (width_and_height(images) - 1) / 2
    to_middle = matrices(middle[:1], [[1, 0, -middle[0]], [0, 1, -middle[1]]])
    to_corner = matrices(middle[:1], [[1, 0, middle[0]], [0, 1, middle[1]]])
    flat = tf.reshape(to_corner @ transforms @ to_middle, [-1, 9])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=flat[:, :8] / flat[:, 8:],
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
