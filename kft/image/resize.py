"""From a picture of any size to one of the size that a backbone takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import tensorflow as tf

Resize = Literal["crop", "pad", "squash"]

# The values of pictures that are resized as one line: up to 16 MB as floats.
MOST_IN_LINE = 2**22


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
    lying = tf.reshape(transposed(rows), [-1, width, 3 * size[0]])
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

    def along(axis: int) -> tf.Tensor:
        order = slice(None, None, 1 if axis == 1 else -1)
        resized = tf.raw_ops.ScaleAndTranslate(
            images=tf.expand_dims(rows, 3 - axis),
            size=tf.stack([count, 1][order]),
            scale=tf.stack([scale, 1][order]),
            translation=tf.stack([shift, 0][order]),
            kernel_type="triangle",
            antialias=True,
        )
        return tf.squeeze(resized, 3 - axis)

    # In TensorFlow 2.21 pixels of three channels take five times as long as so many values in
    # pixels of many, and each line of pixels is a task for another core; but of what is one line
    # a copy in floats is made.
    is_small = tf.size(rows, tf.int64) <= MOST_IN_LINE
    return tf.cond(is_small, lambda: along(2), lambda: along(1))


def transposed(rows: tf.Tensor) -> tf.Tensor:
    """Returns float32 ``(batch, d, count)`` of `rows`, float32 ``(batch, count, d)``."""
    import tensorflow as tf

    # As integers: floats go to oneDNN, which in TensorFlow 2.21 takes longer to begin than to do.
    turned = tf.linalg.matrix_transpose(tf.bitcast(rows, tf.int32))
    return tf.bitcast(turned, tf.float32)


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
