"""Models to export: of each kind of example, with tables and modules inside, and of values."""

import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf
from hub_modules import save_words
from pictures import written
from PIL import Image
from tiny import Ramp, Texts, TinyDense, TinyWords

from kft.backbone import Backbone, layer_stages
from kft.backbones.tf_hub import TfHub
from kft.data import Target
from kft.heads.classifier import Classifier
from kft.heads.regressor import Regressor
from kft.image.digits import Digits
from kft.image.input import ImageInput
from kft.input import Input
from kft.task import assemble


class Pixels(TinyDense):
    """Takes pictures: their mean colour goes through the tiny backbone."""

    def load(self, input_spec, pretrained=True):
        inner = super().load(tf.TensorSpec((3,), tf.float32))
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")(
            keras.layers.Rescaling(1 / 255)(inputs)
        )
        model = keras.Model(inputs, inner.model(pooled))
        return replace(inner, model=model)


class LookedUp(TinyWords):
    """Finds words in a table."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype="string")
        numbers = keras.layers.StringLookup(vocabulary=["low", "middle"])(inputs)
        model = keras.Model(inputs, keras.layers.Embedding(9, 6, name="words")(numbers))
        return Backbone("listed", model, layer_stages(model), self.batch_norm)


class ModuleOfWords(TinyWords):
    """A SavedModel with a table inside."""

    def load(self, input_spec, pretrained=True):
        handle = save_words(Path(tempfile.mkdtemp()))
        return TfHub(handle=handle, output="default").load(input_spec)


class Prices(Ramp):
    """Two values far from 0, of scales far apart."""

    def load(self, seed):
        found = super().load(seed)
        parts = {
            name: replace(split, labels=(split.labels[:, None] * [1e6, 1e-3]).astype("float32"))
            for name, split in found.by_name().items()
        }
        target = Target.of_values(("price", "weight"), parts["train"].labels)
        return replace(found, **parts, target=target)


class Tiffs(Ramp):
    """Pictures that kft converts, which the exported model does not take."""

    input: Input = ImageInput(size=(8, 8))

    def load(self, seed):
        found = super().load(seed)
        colours = [written(Image.new("RGB", (9, 8), colour), "TIFF") for colour in COLOURS]
        files = tf.constant(colours)
        parts = {
            name: replace(split, fetch=lambda index: files[index % len(COLOURS)])
            for name, split in found.by_name().items()
        }
        return replace(found, **parts, input=self.input)


COLOURS = ("red", "green", "blue")
# A data source, a backbone and a head for its examples.
DATA = {
    "vectors": (Ramp(), TinyDense(), Classifier()),
    "strings": (Texts(), TinyWords(), Classifier()),
    "tables": (Texts(), LookedUp(), Classifier()),
    "modules": (Texts(), ModuleOfWords(), Classifier()),
    "pictures": (Digits(input={"kind": "image", "size": [16, 16]}), Pixels(), Classifier()),
    "converted": (Tiffs(), Pixels(), Classifier()),
    "values": (Prices(), TinyDense(), Regressor()),
}


def task_of(name):
    """The task of one entry of DATA, untrained, and what its source loads."""
    source, backbone, head = DATA[name]
    keras.utils.set_random_seed(0)
    found = source.load(0)
    return assemble(backbone.load(found.input.spec), head, found.target, found.input), found
