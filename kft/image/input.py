"""Pictures as inputs: RGB, uint8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, Field

from kft.augmentation import Augmentation
from kft.errors import DataError
from kft.image import looks
from kft.image.augment import Mild, augmented
from kft.image.convert import convert
from kft.image.decode import decode_to_scale
from kft.image.forms import CONVERTED_ENDINGS, DECODED_ENDINGS
from kft.image.rectangles import rectangles
from kft.image.resize import Resize, resize_images, scaled_sides
from kft.image.sizes import fitting_size
from kft.input import Fingerprints, Input, Signature, Suggestion
from kft.settings.bounds import Side

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


class ImageInput(Input):
    """A picture, resized to what the backbone takes.

    Attributes:
        size: Height and width in pixels.
        resize: ``crop`` fills the size and cuts what stands out, ``pad`` shows the whole picture
            with black bars, ``squash`` the whole picture with another aspect.
        augmentations: What varies a training picture: the geometric ones first, joined, then the
            others in order. ``augment`` in a config; the method of that name applies them.
    """

    model_config = ConfigDict(populate_by_name=True)

    noun: ClassVar[str] = "image"
    plural: ClassVar[str] = "images"
    default_backbone: ClassVar[Mapping[str, Any] | None] = {
        "kind": "keras_application",
        "name": "MobileNetV2",
        "weights": "bundled",
    }
    file_endings: ClassVar[tuple[str, ...]] = DECODED_ENDINGS
    converted_endings: ClassVar[tuple[str, ...]] = CONVERTED_ENDINGS
    unused_by_decode: ClassVar[tuple[str, ...]] = ("augmentations",)
    decode_version: ClassVar[int] = 2
    standard_augmentations: ClassVar[tuple[Augmentation, ...]] = (Mild(),)

    size: tuple[Side, Side] = (224, 224)
    resize: Resize = "crop"
    augmentations: tuple[Augmentation, ...] = Field(default=(), alias="augment")

    @property
    def spec(self) -> tf.TensorSpec:
        import tensorflow as tf

        return tf.TensorSpec((*self.size, 3), tf.uint8)

    @property
    def is_augmented(self) -> bool:
        return bool(self.augmentations)

    def encode(self, example: tf.Tensor) -> tf.Tensor:
        """Returns the file of `example`: uint8 pixels ``(height, width)``, or with channels last.

        These are 1 (grey), 2 (and alpha), 3 (RGB) or 4.
        """
        import tensorflow as tf

        if example.dtype == tf.string:
            return example
        pixels = example[..., tf.newaxis] if example.shape.rank == 2 else example
        if example.dtype != tf.uint8 or pixels.shape.rank != 3 or not 1 <= pixels.shape[2] <= 4:
            raise DataError(
                where="data",
                problem=f"holds {example.dtype.name} arrays of shape {tuple(example.shape)}, and "
                "pictures are uint8 pixels (height, width), or with 1 to 4 channels last",
                fix="Convert them, with 0 as black and 255 as white",
            )
        return tf.io.encode_png(pixels, compression=0)  # which is read again at once

    @classmethod
    def convert(cls, file: bytes) -> bytes:
        return convert(file)

    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        return self._decoded(raw, converts=True)

    def augment(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        if not self.is_augmented:
            return inputs
        varied = augmented(self.augmentations, tf.cast(inputs, tf.float32), seeds)
        varied = tf.saturate_cast(tf.round(varied), tf.uint8)
        return tf.ensure_shape(varied, inputs.shape)

    def with_augmentations(self, augmentations: tuple[Augmentation, ...]) -> Self:
        return self.model_copy(update={"augmentations": augmentations})

    def regions(self, shares: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Returns rectangles of the aspect of the picture, cut off where they stand out of it."""
        return rectangles(self.size, shares, seeds)

    def measure(self, raw: tf.Tensor) -> tf.Tensor:
        return looks.measure(raw)

    def remarks(self, names: Sequence[str], measures: np.ndarray) -> Iterable[tuple[str, str]]:
        return looks.remarks(names, measures, self.size)

    def suggest(self, examples: Iterable[tf.Tensor]) -> Suggestion:
        size, reason = fitting_size(examples)
        reasons = {
            "data.input.size": reason,
            "backbone": "its ImageNet weights come with kft, so nothing is downloaded; `kft "
            "backbones` lists stronger ones",
            "data.input.augment": "left out: fine-tuning varies images mildly by itself, and the "
            "head trains on them as they are, so that the frozen backbone runs over them only once",
        }
        return Suggestion({"data.input.size": [size, size]}, reasons)

    def fingerprints(self, inputs: np.ndarray) -> Fingerprints:
        return looks.fingerprints(inputs)

    def signatures(self) -> tuple[Signature, ...]:
        import tensorflow as tf

        def decoded(raw: tf.Tensor) -> tf.Tensor:
            return tf.map_fn(self._decoded, raw, fn_output_signature=self.spec)

        any_size = [None, None, None, 3]
        return (
            Signature(
                "serving_default", tf.TensorSpec([None], tf.string, name="image_bytes"), decoded
            ),
            Signature(
                "serve_images",
                tf.TensorSpec(any_size, tf.float32, name="images"),
                self._resized,
            ),
            Signature(
                "serve_images_uint8",
                tf.TensorSpec(any_size, tf.uint8, name="images"),
                self._resized,
            ),
        )

    def _decoded(self, raw: tf.Tensor, converts: bool = False) -> tf.Tensor:
        """As `decode`, but without Python unless it `converts`."""
        import tensorflow as tf

        def scaled(sides: tf.Tensor) -> tf.Tensor:
            return scaled_sides(sides, self.size, self.resize)

        pixels, sides = decode_to_scale(raw, scaled, converts)
        return self._resized(pixels[tf.newaxis], sides)[0]

    def _resized(self, images: tf.Tensor, sides: tf.Tensor | None = None) -> tf.Tensor:
        """Returns uint8 ``(batch, *size, 3)`` of `images` of any size."""
        import tensorflow as tf

        # What lies between the two resizing ops, which TensorFlow 2.21 has for the CPU alone, would
        # go to a GPU and back where a model is served on one.
        with tf.device("CPU"):
            resized = resize_images(images, self.size, self.resize, sides)
        return tf.ensure_shape(resized, [None, *self.size, 3])
