"""Random variants of pictures, each a pure function of its own seed.

Pictures are float32 ``(batch, height, width, 3)``, 0 to 255. Of seeds, see `kft.image.chance`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from kft.augmentation import Augmentation
from kft.image.chance import fold, signed, uniform
from kft.image.warp import cut_out, matrices, rotations, warp, width_and_height

if TYPE_CHECKING:
    import tensorflow as tf

Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]

# Keeps the seeds of the parts of an augmentation apart from those of the next in its list.
BEYOND_A_LIST = 1_000_000


class Geometry(Augmentation):
    """Moves pixels. Those of one list are joined, so that a picture is resampled once.

    Attributes:
        only_cuts: Whether all that is seen is an upright part of the picture, perhaps mirrored.
    """

    only_cuts: ClassVar[bool] = False

    @abstractmethod
    def transforms(self, seeds: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
        """Returns float32 ``(batch, 3, 3)``: from where a pixel goes to where it comes from.

        Both are ``(x, y, 1)`` in pixels from the middle of the picture, x to the right and y
        down. `sides` is the float32 ``(width, height)`` of the pictures.
        """

    def apply(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return augmented([self], inputs, seeds)


class Flip(Geometry):
    """Mirrors half of the pictures.

    Attributes:
        horizontal: Whether left and right change places.
        vertical: Whether top and bottom do.
    """

    only_cuts: ClassVar[bool] = True

    horizontal: bool = True
    vertical: bool = False

    def transforms(self, seeds: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        signs = tf.where(uniform(seeds, 2) < 0.5, -1.0, 1.0)
        x = signs[:, 0] if self.horizontal else 1.0
        y = signs[:, 1] if self.vertical else 1.0
        return matrices(seeds, [[x, 0, 0], [0, y, 0]])


class Rotate(Geometry):
    """Turns by up to `degrees`, either way."""

    degrees: Annotated[float, Field(ge=0, le=180)] = 20.0

    def transforms(self, seeds: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
        return rotations(signed(uniform(seeds, 1))[:, 0] * math.radians(self.degrees))


class Shift(Geometry):
    """Moves by up to these shares of the sides, either way."""

    width: Share = 0.1
    height: Share = 0.1

    def transforms(self, seeds: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
        shifts = signed(uniform(seeds, 2)) * [self.width, self.height] * sides
        return matrices(seeds, [[1, 0, -shifts[:, 0]], [0, 1, -shifts[:, 1]]])


class Zoom(Geometry):
    """Scales by ``1 - fraction`` to ``1 + fraction``; more than 1 shows the middle larger."""

    fraction: BelowOne = 0.2

    def transforms(self, seeds: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
        scale = 1 / (1 + signed(uniform(seeds, 1))[:, 0] * self.fraction)
        return matrices(seeds, [[scale, 0, 0], [0, scale, 0]])


class RandomCrop(Geometry):
    """Shows a random part of the picture at full size (Szegedy et al. 2015).

    Attributes:
        area: The smallest share of the area that may be left; the largest is 1.
        aspect: How much wider or narrower the part may be than the picture; 1 keeps the aspect.
    """

    only_cuts: ClassVar[bool] = True

    area: Annotated[float, Field(gt=0, le=1)] = 0.5
    aspect: Annotated[float, Field(ge=1, le=10)] = 4 / 3

    def transforms(self, seeds: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        draws = uniform(seeds, 4)
        side = tf.sqrt(self.area + (1 - self.area) * draws[:, 0])
        stretch = tf.exp(signed(draws[:, 1]) * math.log(self.aspect) / 2)
        width, height = tf.minimum(side * stretch, 1), tf.minimum(side / stretch, 1)
        x = signed(draws[:, 2]) * (1 - width) / 2 * sides[0]
        y = signed(draws[:, 3]) * (1 - height) / 2 * sides[1]
        return matrices(seeds, [[width, 0, x], [0, height, y]])


class Brightness(Augmentation):
    """Adds up to `factor` of the range from black to white, or takes it away."""

    factor: Share = 0.2

    def apply(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        added = signed(uniform(seeds, 1))[:, :, tf.newaxis, tf.newaxis] * 255 * self.factor
        return tf.clip_by_value(inputs + added, 0, 255)


class Contrast(Augmentation):
    """Scales each colour's distance from its mean by ``1 - factor`` to ``1 + factor``."""

    factor: Share = 0.2

    def apply(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        scale = 1 + signed(uniform(seeds, 1))[:, :, tf.newaxis, tf.newaxis] * self.factor
        # Rounded, since a sum's last bits depend on how a batch is spread over threads.
        mean = tf.round(tf.reduce_mean(inputs, axis=[1, 2], keepdims=True))
        return tf.clip_by_value(inputs * scale + mean * (1 - scale), 0, 255)


class Mild(Augmentation):
    """Varies as nearly every photo may: a random crop of 70 % or more, brightness and contrast.

    Nothing is mirrored or turned, so that letters, digits and signs stay what they are.
    """

    def apply(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        parts = (RandomCrop(area=0.7), Brightness(factor=0.1), Contrast(factor=0.1))
        return augmented(parts, inputs, fold(seeds, BEYOND_A_LIST))


def augmented(
    augmentations: Sequence[Augmentation], images: tf.Tensor, seeds: tf.Tensor
) -> tf.Tensor:
    """Returns `images` after the geometric `augmentations` as one, then the others in order."""
    import tensorflow as tf

    numbered = [(each, fold(seeds, number)) for number, each in enumerate(augmentations)]
    moves = [(each, own) for each, own in numbered if isinstance(each, Geometry)]
    if moves:
        sides = width_and_height(images)
        joined, *later = [each.transforms(own, sides) for each, own in moves]
        for transforms in later:
            joined = joined @ transforms
        resample = cut_out if all(each.only_cuts for each, _ in moves) else warp
        # Without a shape that is known, `tf.map_fn` cannot vary a batch of no images.
        images = tf.ensure_shape(resample(images, joined), images.shape)
    for each, own in numbered:
        if not isinstance(each, Geometry):
            images = each.apply(images, own)
    return images
