"""Checks of pictures that need no training: sizes, wrong names, and which are alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from kft.image.decode import decode_to_scale
from kft.image.forms import FORMS, form_in
from kft.image.jpeg import lacks_adobe
from kft.input import Fingerprints

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

# Pictures that must be enlarged, or are reduced, by more than this are far from the target.
MUCH_SMALLER, MUCH_LARGER = 2, 8
NAMED = 3
# Of the perceptual hash: a cosine transform of so many pixels, of which the lowest are kept.
HASHED, KEPT = 32, 8


def measure(raw: tf.Tensor) -> tf.Tensor:
    """Returns height, width, number in `FORMS` and whether inks lack an Adobe segment, int64."""
    import tensorflow as tf

    def of_jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.io.extract_jpeg_shape(raw)
        return shape[:2], lacks_adobe(raw, shape)

    def of_other() -> tuple[tf.Tensor, tf.Tensor]:
        pixels, _ = decode_to_scale(raw, lambda sides: sides, converts=True)
        return tf.shape(pixels)[:2], tf.constant(False)

    sides, is_unclear = tf.cond(tf.io.is_jpeg(raw), of_jpeg, of_other)
    others = [form_in(raw), tf.cast(is_unclear, tf.int64)]
    return tf.concat([tf.cast(sides, tf.int64), others], axis=0)


def remarks(
    names: Sequence[str], measures: np.ndarray, size: tuple[int, int]
) -> Iterator[tuple[str, str]]:
    """Yields the name of a picture and what is unusual about it, of `measures` ``(n, 4)``."""
    forms = list(FORMS.items())
    for name, (height, width, number, is_unclear) in zip(names, measures.tolist(), strict=True):
        form, (_, endings) = forms[number]
        ending = PurePath(name).suffix.lower()
        if ending not in endings and any(ending in known for _, (_, known) in forms):
            yield name, f"is a {form}, whatever its name says"
        if is_unclear:
            yield name, "is a CMYK JPEG without an Adobe segment: its inks are read as inverted"
        target, short = min(size), min(height, width)
        if short * MUCH_SMALLER < target:
            yield name, f"is only {width}x{height} pixels, for a target of {size[1]}x{size[0]}"
        elif short > MUCH_LARGER * target:
            yield name, f"has {width}x{height} pixels, of which few are left: it takes long to read"


def fingerprints(inputs: np.ndarray) -> Fingerprints:
    """Returns a perceptual hash of each of `inputs`, uint8 ``(batch, height, width, 3)``.

    As in pHash (Zauner 2010): the signs of the lowest frequencies of the grey picture, against
    their median. The sketch is the picture in 8 by 8 pixels, in colour.
    """
    import numpy as np
    import tensorflow as tf

    small = tf.image.resize(inputs, (HASHED, HASHED), method="area").numpy()
    places = np.pi * (np.arange(HASHED) + 0.5) / HASHED
    cosines = np.cos(np.arange(KEPT)[:, np.newaxis] * places)
    lowest = (cosines @ small.mean(axis=-1) @ cosines.T).reshape(len(inputs), -1)
    bits = lowest > np.median(lowest, axis=1, keepdims=True)
    hashes = np.packbits(bits, axis=1).view("uint64")[:, 0]
    sketches = tf.image.resize(small, (KEPT, KEPT), method="area").numpy()
    return Fingerprints(hashes, np.round(sketches).astype("uint8").reshape(len(inputs), -1))
