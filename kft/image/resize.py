"""From a picture of any size to one of the size that a backbone takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import tensorflow as tf

Resize = Literal["crop", "pad", "squash"]


def resize_images(images: tf.Tensor, size: tuple[int, int], how: Resize) -> tf.Tensor:
    """Returns uint8 ``(batch, *size, 3)`` of `images`, which are ``(batch, height, width, 3)``.

    ``crop`` covers the target and cuts what stands out on both sides, ``pad`` fits inside and
    leaves black bars, and both keep the aspect; ``squash`` does not. Bilinear and antialiased:
    a smaller picture is a mean of the pixels, not a choice of them. `images` are uint8 or floats
    from 0 to 255; floats outside are cut.
    """
    import tensorflow as tf

    target = tf.constant(size, tf.int32)
    sides = tf.shape(images)[1:3]
    scaled = scaled_sides(sides, target, how)
    # One op that scales and shifts never makes the whole scaled picture, which for a long and
    # narrow one would not fit in memory.
    resized = tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=target,
        scale=tf.cast(scaled / sides, tf.float32),
        translation=tf.cast(-((scaled - target) // 2), tf.float32),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def scaled_sides(sides: tf.Tensor, target: tf.Tensor, how: Resize) -> tf.Tensor:
    """Returns the int32 height and width to which a picture of `sides` is scaled."""
    import tensorflow as tf

    if how == "squash":
        return target
    ratios = target / sides
    if how == "crop":
        covering = tf.round(tf.cast(sides, tf.float64) * tf.reduce_max(ratios))
        return tf.maximum(tf.cast(covering, tf.int32), target)
    fitting = tf.round(tf.cast(sides, tf.float64) * tf.reduce_min(ratios))
    return tf.clip_by_value(tf.cast(fitting, tf.int32), 1, target)
