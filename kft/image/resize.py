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

    _, height, width, _ = tf.unstack(tf.shape(images))
    if sides is None:
        sides = tf.cast([height, width], tf.float64)
    scaled = scaled_sides(sides, size, how)
    scales = tf.unstack(tf.cast(scaled / sides, tf.float32))
    shifts = tf.unstack(tf.cast(-((scaled - tf.constant(size, tf.float64)) // 2), tf.float32))
    rows = resize_rows(tf.reshape(images, [-1, height, width * 3]), size[0], scales[0], shifts[0])
    lying = tf.reshape(tf.linalg.matrix_transpose(rows), [-1, width, 3 * size[0]])
    columns = tf.round(resize_rows(lying, size[1], scales[1], shifts[1]))
    # Means of bytes are none but bytes, and looking for others takes a while.
    to_bytes = tf.cast if images.dtype == tf.uint8 else tf.saturate_cast
    pixels = tf.reshape(to_bytes(columns, tf.uint8), [-1, size[1] * 3, size[0]])
    return tf.reshape(tf.linalg.matrix_transpose(pixels), [-1, *size, 3])


def resize_rows(rows: tf.Tensor, count: int, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Returns float32 ``(batch, count, d)`` of `rows` ``(batch, height, d)``.

    The height is multiplied by `scale` and what is there moves by `shift` rows. One op does both,
    so that all that is scaled, which may not fit in memory, is never made.
    """
    import tensorflow as tf

    # As one line of pixels of many channels, since TensorFlow 2.21 takes five times as long for
    # pixels of three, and longer again for several lines, of which it makes a task for each core.
    line = tf.raw_ops.ScaleAndTranslate(
        images=tf.expand_dims(rows, 1),
        size=tf.constant([1, count]),
        scale=tf.stack([1, scale]),
        translation=tf.stack([0, shift]),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.squeeze(line, 1)


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
