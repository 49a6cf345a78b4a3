"""From a picture of any size to one of the size that a backbone takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import tensorflow as tf

Resize = Literal["crop", "pad", "squash"]


def resize_images(
    images: tf.Tensor, size: tuple[int, int], how: Resize, sides: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns uint8 ``(batch, *size, 3)`` of `images`, which are ``(batch, height, width, 3)``.

    ``crop`` covers the target and cuts what stands out on both sides, ``pad`` fits inside and
    leaves black bars, and both keep the aspect; ``squash`` does not. Bilinear and antialiased:
    a smaller picture is a mean of the pixels, not a choice of them. `images` are uint8 or floats
    from 0 to 255; floats outside are cut. `sides` are float64 ``(height, width)`` if the picture
    ends within its last row or column, as one from `decode_to_scale` may.
    """
    import tensorflow as tf

    if sides is None:
        sides = tf.cast(tf.shape(images)[1:3], tf.float64)
    target = tf.constant(size, tf.float64)
    scaled = scaled_sides(sides, size, how)
    # One op that scales and shifts never makes the whole scaled picture, which for a long and
    # narrow one would not fit in memory.
    resized = tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=tf.constant(size, tf.int32),
        scale=tf.cast(scaled / sides, tf.float32),
        translation=tf.cast(-((scaled - target) // 2), tf.float32),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def scaled_sides(sides: tf.Tensor, size: tuple[int, int], how: Resize) -> tf.Tensor:
    """Returns to what height and width a picture of `sides` is scaled; both are float64 ``(2,)``.

    They are whole numbers of pixels, and the same for `sides` that are all halved.
    """
    import tensorflow as tf

    target = tf.constant(size, tf.float64)
    if how == "squash":
        return target
    ratios = target / sides
    if how == "crop":
        return tf.maximum(tf.round(sides * tf.reduce_max(ratios)), target)
    return tf.clip_by_value(tf.round(sides * tf.reduce_min(ratios)), 1, target)
