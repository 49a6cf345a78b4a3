"""Data sets of tensorflow-datasets that are made on the spot."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds


class FewColours(tfds.core.GeneratorBasedBuilder):
    """Pictures of one grey each, of two classes out of three, with tags, of ten owners.

    Its test split has no labels, and another none of the usual names.
    """

    VERSION = tfds.core.Version("1.0.0")
    supervised = ("image", "label")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["dark", "pale", "none"]),
            "owner": tf.int64,
            "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=["odd", "none", "old"])),
            "is": {"even": tf.bool, "dark": tf.bool},
            "shade": tf.float32,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=self.supervised,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(40),
            "val": self._generate_examples(20),
            "test": self._generate_examples(4, labelled=False),
            "extra": self._generate_examples(2),
        }

    def _generate_examples(self, size, labelled=True):
        for number in range(size):
            label = number % 2 if labelled else -1
            pixels = np.full((6, 7, 3), grey(number), "uint8")
            yield (
                number,
                {
                    "image": pixels,
                    "label": label,
                    "owner": number // 4,
                    "tags": tags(number),
                    "is": {"even": number % 2 == 0, "dark": number < 10},
                    "shade": grey(number) / 255,
                },
            )


class NoSupervision(FewColours):
    """The same, but it does not say what is its input and label."""

    VERSION = tfds.core.Version("1.0.0")
    supervised = None


class NotMade(FewColours):
    """One that wants a file that nobody has fetched."""

    VERSION = tfds.core.Version("1.0.0")

    def _split_generators(self, dl_manager):
        raise AssertionError("fetch colours.zip by hand")


def grey(number):
    """The shade of a picture."""
    return 5 * number


def tags(number):
    """None, one or two."""
    return [name for name, has in (("odd", number % 2), ("old", number % 3 == 0)) if has]


def prepare(folder, file_format="tfrecord", builder=FewColours):
    """Writes a data set, and returns where."""
    builder(data_dir=str(folder), file_format=file_format).download_and_prepare()
    return str(folder)
