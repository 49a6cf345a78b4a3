"""scikit-learn's handwritten digits: a small real data set that needs no download."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pydantic import Field

from kft.data import Splits
from kft.input import Input
from kft.sources.labels.classes import ClassSource
from kft.sources.labels.label_columns import LabelColumns
from kft.sources.labels.labelled import Labelled, labelled_splits
from kft.sources.splitting.split_rule import SplitRule

if TYPE_CHECKING:
    import numpy as np

SIZE = 96


def digits_input() -> Input:
    """Returns an input of the size of the scans, so that nothing is resized."""
    from kft.image.input import ImageInput

    return ImageInput(size=(SIZE, SIZE))


class Digits(ClassSource):
    """1,797 scans of the digits 0 to 9, 8x8 pixels, enlarged to smooth PNGs of 96x96 pixels.

    Dark strokes on white paper, as they were written (Alpaydin and Kaynak 1998).

    Attributes:
        split: How to divide them; the same rule as for folders.
    """

    input: Input = Field(default_factory=digits_input)
    split: SplitRule = SplitRule()

    def load(self, seed: int) -> Splits:
        import tensorflow as tf
        from sklearn.datasets import load_digits

        scans, labels = load_digits(return_X_y=True)
        names = [f"digits/{number:04}.png" for number in range(len(labels))]
        predicted = self.chosen(
            LabelColumns("class", tuple("0123456789"), [(str(label),) for label in labels])
        )
        encoded = tf.constant([png(scan) for scan in scans.reshape(-1, 8, 8)])
        found = Labelled(
            where="data",
            names=names,
            predicted=predicted,
            groups=None,
            given=None,
            fetch=lambda index: tf.gather(encoded, index),
        )
        return labelled_splits(found, self.input, self.split, seed)


def png(scan: np.ndarray) -> bytes:
    """Returns the file of one `scan`, ``(8, 8)``."""
    from PIL import Image

    paper = (255 - scan * (255 / 16)).round().astype("uint8")
    file = io.BytesIO()
    enlarged = Image.fromarray(paper).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    enlarged.save(file, "PNG", compress_level=1)
    return file.getvalue()
