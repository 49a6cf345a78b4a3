"""Words, one in each file of a folder, which a config names; and who changes one meanwhile."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tiny import TARGET, Words

from kft.data import DataSource, Split, Splits
from kft.input import Input

SIZES = {"train": 12, "validation": 6, "test": 6}


def make_words(folder):
    """Writes all files."""
    for name, size in SIZES.items():
        (folder / name).mkdir(parents=True)
        for number in range(size):
            (folder / name / str(number)).write_text(f"{TARGET.names[number % 3]}{number}")


class WordFiles(DataSource):
    """The words in the files of a folder, which are of no fixed size, so they are not kept."""

    path: str
    input: Input = Words()
    batch_size: int = 4

    def load(self, seed):
        return Splits(*(self.split(name) for name in SIZES), TARGET, self.input)

    def split(self, name):
        names = [f"{name}/{number}" for number in range(SIZES[name])]
        paths = tf.constant([f"{self.path}/{each}" for each in names])
        labels = np.arange(SIZES[name], dtype="int32") % 3
        return Split(names, labels, lambda index: tf.io.read_file(paths[index]))


class Changes(keras.callbacks.Callback):
    """Changes a file after an epoch, or removes it."""

    def __init__(self, path, epoch, content=None):
        super().__init__()
        self.path = Path(path)
        self.epoch = epoch
        self.content = content

    def on_epoch_end(self, epoch, logs=None):
        if epoch != self.epoch:
            return
        if self.content is None:
            self.path.unlink()
        else:
            self.path.write_text(self.content)
