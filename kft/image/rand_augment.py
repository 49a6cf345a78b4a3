"""RandAugment (Cubuk et al. 2020): a few operations picked at random, all of one strength."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from kft.augmentation import Augmentation
from kft.image.chance import uniform
from kft.image.warp import matrices, rotations, warp, width_and_height
from kft.settings.bounds import Operations

if TYPE_CHECKING:
    import tensorflow as tf

# How far each operation goes at magnitude 1, as in the paper and its code.
DEGREES, SHEAR, SHIFT, BLEND, POSTERIZE_BITS = 30.0, 0.3, 0.45, 0.9, 4.0


class RandAugment(Augmentation):
    """Applies operations out of 14, picked at random for each picture; some change only colours.

    Attributes:
        operations: How many, one after the other; the same may come twice.
        magnitude: 0 leaves all but autocontrast and equalize without effect; 1 is the strongest
            of the paper, such as turning by 30 degrees. Which way an operation goes is random.
    """

    operations: Operations = 2
    magnitude: Annotated[float, Field(ge=0, le=1)] = 0.3

    def apply(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        draws = tf.reshape(uniform(seeds, 2 * self.operations), [-1, self.operations, 2])
        return tf.map_fn(self._vary, (inputs, draws), fn_output_signature=inputs.dtype)

    def _vary(self, image_and_draws: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Returns one image after `operations` picked by draws of ``(operations, 2)``."""
        import tensorflow as tf

        image, draws = image_and_draws
        shape = image.shape
        for number in range(self.operations):
            choice = tf.cast(draws[number, 0] * len(OPERATIONS), tf.int32)
            strength = tf.where(draws[number, 1] < 0.5, -1.0, 1.0) * self.magnitude
            image = tf.switch_case(choice, branches(image, strength))
            image = tf.ensure_shape(tf.clip_by_value(image, 0, 255), shape)
        return image


def branches(image: tf.Tensor, strength: tf.Tensor) -> list[Callable[[], tf.Tensor]]:
    """Returns one function for each operation, so that only the chosen one is computed."""

    def branch(operation: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable[[], tf.Tensor]:
        return lambda: operation(image, strength)

    return [branch(operation) for operation in OPERATIONS]


def identity(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Returns `image`; the other operations too take float32 ``(height, width, 3)``."""
    return image


def moved(image: tf.Tensor, rows: list[list[tf.Tensor | float]]) -> tf.Tensor:
    """Returns `image` resampled by the upper two `rows` of a transform of shape ``(1,)``."""
    import tensorflow as tf

    return warp(image[tf.newaxis], matrices(tf.zeros([1]), rows))[0]


def rotate(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Turns."""
    import tensorflow as tf

    return warp(image[tf.newaxis], rotations(strength[tf.newaxis] * math.radians(DEGREES)))[0]


def shear_x(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Slants upright lines."""
    return moved(image, [[1, strength * SHEAR, 0], [0, 1, 0]])


def shear_y(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Slants level lines."""
    return moved(image, [[1, 0, 0], [strength * SHEAR, 1, 0]])


def shift_x(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Moves to a side."""
    width = width_and_height(image[None])[0]
    return moved(image, [[1, 0, strength * SHIFT * width], [0, 1, 0]])


def shift_y(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Moves up or down."""
    height = width_and_height(image[None])[1]
    return moved(image, [[1, 0, 0], [0, 1, strength * SHIFT * height]])


def blend(plain: tf.Tensor, image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Returns `image` moved towards `plain`, or as far away from it."""
    return image + (image - plain) * strength * BLEND


def colour(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Makes colours stronger or paler."""
    import tensorflow as tf

    return blend(tf.image.rgb_to_grayscale(image), image, strength)


def brightness(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Makes brighter or darker."""
    import tensorflow as tf

    return blend(tf.zeros_like(image), image, strength)


def contrast(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Moves levels from the mean grey, or towards it."""
    import tensorflow as tf

    mean = tf.round(tf.reduce_mean(tf.image.rgb_to_grayscale(image)))
    return blend(mean, image, strength)


def sharpness(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Sharpens or blurs."""
    import tensorflow as tf

    padded = tf.pad(image, [[1, 1], [1, 1], [0, 0]], "SYMMETRIC")[tf.newaxis]
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]])[:, :, tf.newaxis, tf.newaxis] / 13
    smooth = tf.nn.depthwise_conv2d(padded, tf.tile(kernel, [1, 1, 3, 1]), [1, 1, 1, 1], "VALID")
    return blend(smooth[0], image, strength)


def solarize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Inverts the brightest levels; at magnitude 1 all of them."""
    import tensorflow as tf

    return tf.where(image > 255 * (1 - tf.abs(strength)), 255 - image, image)


def posterize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Leaves fewer levels."""
    import tensorflow as tf

    step = 2 ** tf.round(tf.abs(strength) * POSTERIZE_BITS)
    return tf.where(step > 1, tf.floor(image / step) * step, image)


def autocontrast(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Spreads each colour over the whole range, whatever the magnitude."""
    import tensorflow as tf

    low = tf.reduce_min(image, axis=[0, 1])
    reach = tf.reduce_max(image, axis=[0, 1]) - low
    return tf.where(reach > 0, (image - low) * tf.math.divide_no_nan(255.0, reach), image)


def equalize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Makes all levels of each colour as frequent, whatever the magnitude."""
    import tensorflow as tf

    levels = tf.cast(tf.round(image), tf.int32)

    def equalized(channel: tf.Tensor) -> tf.Tensor:
        counts = tf.math.bincount(tf.reshape(channel, [-1]), minlength=256, maxlength=256)
        below = tf.cast(tf.cumsum(counts, exclusive=True), tf.float32)
        last = tf.cast(tf.boolean_mask(counts, counts > 0)[-1], tf.float32)
        spread = tf.cast(tf.size(channel), tf.float32) - last
        table = tf.where(spread > 0, below * 255 / spread, tf.range(256.0))
        return tf.gather(table, channel)

    return tf.stack([equalized(channel) for channel in tf.unstack(levels, axis=2)], axis=2)


OPERATIONS = (
    identity,
    autocontrast,
    equalize,
    rotate,
    solarize,
    colour,
    posterize,
    contrast,
    brightness,
    sharpness,
    shear_x,
    shear_y,
    shift_x,
    shift_y,
)
