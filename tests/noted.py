"""Parts that note what they are given, to see which worker works on what; a config names them."""

from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled
from tiny import Vectors

from kft.backbone import Backbone, BackboneSource, layer_stages
from kft.cache.inference import PASS_SIZE

_augmented = []
_passed = []


def taken():
    """What was noted since the last time: ``(epoch, example)``, and the head of each pass batch."""
    found = {"examples": [*_augmented], "batches": [*_passed]}
    _augmented.clear()
    _passed.clear()
    return found


def note_examples(seeds):
    _augmented.extend(seeds.tolist())
    return np.int64(0)


def note_batch(numbers):
    if len(numbers) == PASS_SIZE:
        _passed.append(float(numbers[0]))
    return np.int64(0)


class Noted(Vectors):
    """Vectors whose augmentation changes nothing and notes the seeds: of epoch and example."""

    @property
    def is_augmented(self):
        return True

    def augment(self, inputs, seeds):
        with tf.control_dependencies([tf.numpy_function(note_examples, [seeds], tf.int64)]):
            return tf.identity(inputs)


class NotesBatches(keras.layers.Layer):
    """Notes the first number of each batch of a pass."""

    def call(self, inputs):
        with tf.control_dependencies([tf.numpy_function(note_batch, [inputs[:, 0]], tf.int64)]):
            return tf.identity(inputs)


class NotingDense(BackboneSource):
    """A dense stage that notes the batches of a pass."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape)
        outputs = keras.layers.Dense(6, activation="relu", name="only")(NotesBatches()(inputs))
        model = keras.Model(inputs, outputs)
        return Backbone("noting", model, layer_stages(model), self.batch_norm)


class SeesDeterminism(keras.callbacks.Callback):
    """Notes whether ops are deterministic as training begins."""

    seen: ClassVar[list[bool]] = []

    def on_train_begin(self, logs=None):
        self.seen.append(is_op_determinism_enabled())
