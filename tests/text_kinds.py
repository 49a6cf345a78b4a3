"""A modality of one's own: texts whose words are looked up in a vocabulary, and a backbone."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kft.backbone import Backbone, BackboneSource, layer_stages
from kft.input import Input, Signature
from kft.settings.component import AbsolutePath

WORDS = ("", "cold", "warm", "is", "it")


class Sentences(Input):
    """Eight numbers of words: their lines in the vocabulary, or 0 for others.

    The vocabulary is a file, or a folder with a file ``words.txt``.
    """

    noun = "sentence"
    plural = "sentences"

    vocabulary: AbsolutePath

    def assets(self):
        return {"vocabulary": self.vocabulary}

    @property
    def spec(self):
        return tf.TensorSpec((8,), tf.int32)

    @property
    def is_augmented(self):
        return False

    def augment(self, inputs, seeds):
        return inputs

    def decode(self, raw):
        return self.numbers(raw[None])[0]

    def numbers(self, texts):
        path = Path(self.vocabulary)
        listed = (path / "words.txt" if path.is_dir() else path).read_text(encoding="utf-8")
        known = np.array(listed.split("\n"))
        words = tf.strings.split(tf.strings.lower(texts)).to_tensor("", shape=(None, 8))
        same = tf.cast(words[..., None] == known, tf.int32)
        return tf.reduce_max(same * np.arange(len(known), dtype="int32"), axis=-1)

    def signatures(self):
        spec = tf.TensorSpec((None,), tf.string, name="texts")
        return (Signature("serving_default", spec, self.numbers),)


class MeanWord(BackboneSource):
    """The mean of the vectors of the words."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        vectors = keras.layers.Embedding(9, 6, name="words")(inputs)
        model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(vectors))
        return Backbone("mean word", model, layer_stages(model), self.batch_norm)


def write_texts(folder, size=48):
    """Writes a vocabulary and a table of texts, and returns the settings of a run on them."""
    folder.mkdir(exist_ok=True)
    (folder / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    rows = (
        f"{number},It is {WORDS[1 + number % 2]} {number},{number % 2}" for number in range(size)
    )
    (folder / "texts.csv").write_text("\n".join(["id,text,is_warm", *rows]), encoding="utf-8")
    return {
        "output_dir": str(folder / "run"),
        "data": {
            "kind": "table",
            "path": str(folder / "texts.csv"),
            "input_column": "text",
            "class_column": "is_warm",
            "batch_size": 8,
            "input": {"kind": "text_kinds:Sentences", "vocabulary": str(folder / "words.txt")},
        },
        "backbone": {"kind": "text_kinds:MeanWord"},
        "phases": [
            {
                "name": "all",
                "epochs": 3,
                "optimizer": {"kind": "adam", "learning_rate": 0.1},
                "unfreeze": {"kind": "all"},
            }
        ],
    }
