"""Tiny parts that train in milliseconds: vectors and words instead of images."""

import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kft.augmentation import Augmentation
from kft.backbone import Backbone, BackboneSource, layer_stages
from kft.cache.feature_cache import FeatureCache
from kft.cache.place import CachePolicy
from kft.data import DataSource, Split, Splits, Target
from kft.engine.best import Best
from kft.engine.context import TrainingContext
from kft.heads.classifier import Classifier
from kft.input import Input, Signature
from kft.phase import Phase
from kft.recipe.optimizer import Adam
from kft.recipe.unfreeze import UnfreezeNone
from kft.task import Task, assemble

TARGET = Target("class", ("low", "middle", "high"))


class Vectors(Input):
    """Eight floats, kept as they are. Claims to augment if told to, and changes nothing."""

    claims_to_augment: bool = False

    @property
    def spec(self):
        return tf.TensorSpec((8,), tf.float32)

    @property
    def is_augmented(self):
        return self.claims_to_augment

    def decode(self, raw):
        return tf.debugging.check_numerics(raw, "not a number")

    def augment(self, inputs, seeds):
        return inputs

    def signatures(self):
        spec = tf.TensorSpec((None, 8), tf.float32, name="vectors")
        return (Signature("serving_default", spec, tf.identity),)


class Shaken(Vectors):
    """Vectors that are shaken, each by its own seeds."""

    strength: float = 1.0

    @property
    def is_augmented(self):
        return True

    def augment(self, inputs, seeds):
        noise = tf.map_fn(
            lambda seed: tf.random.stateless_normal((8,), seed),
            seeds,
            fn_output_signature=tf.float32,
        )
        return inputs + self.strength * noise


class Noise(Augmentation):
    """Adds normal noise to vectors, each by its own seeds."""

    strength: float = 1.0

    def apply(self, inputs, seeds):
        return Shaken(strength=self.strength).augment(inputs, seeds)


class Varied(Vectors):
    """Vectors that a list of augmentations varies, such as that of a phase."""

    standard_augmentations = (Noise(strength=0.1),)

    augmentations: tuple[Augmentation, ...] = ()

    @property
    def is_augmented(self):
        return bool(self.augmentations)

    def augment(self, inputs, seeds):
        for each in self.augmentations:
            inputs = each.apply(inputs, seeds)
        return inputs

    def with_augmentations(self, augmentations):
        return Varied(augmentations=augmentations)


class Words(Input):
    """A string, kept as it is."""

    @property
    def spec(self):
        return tf.TensorSpec((), tf.string)

    @property
    def is_augmented(self):
        return False

    def decode(self, raw):
        return raw

    def augment(self, inputs, seeds):
        return inputs

    def signatures(self):
        return (
            Signature(
                "serving_default", tf.TensorSpec((None,), tf.string, name="words"), tf.identity
            ),
        )


class Flags(Input):
    """Eight booleans, kept as they are."""

    @property
    def spec(self):
        return tf.TensorSpec((8,), tf.bool)

    @property
    def is_augmented(self):
        return False

    def decode(self, raw):
        return raw

    def augment(self, inputs, seeds):
        return inputs

    def signatures(self):
        spec = tf.TensorSpec((None, 8), tf.bool, name="flags")
        return (Signature("serving_default", spec, tf.identity),)


class Bytes(Input):
    """Four bytes as numbers, from files of their own."""

    file_endings = (".bin", ".raw")

    @property
    def spec(self):
        return tf.TensorSpec((4,), tf.uint8)

    @property
    def is_augmented(self):
        return False

    def decode(self, raw):
        return tf.ensure_shape(tf.io.decode_raw(raw, tf.uint8), (4,))

    def augment(self, inputs, seeds):
        return inputs

    def signatures(self):
        def numbers(raw):
            return tf.map_fn(self.decode, raw, fn_output_signature=self.spec)

        spec = tf.TensorSpec((None,), tf.string, name="bytes")
        return (Signature("serving_default", spec, numbers),)


class TinyDense(BackboneSource):
    """Two dense stages, batch normalisation, dropout, and a skip connection over the second."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        x = keras.layers.Dense(6, name="bottom")(inputs)
        x = skip = keras.layers.BatchNormalization(name="norm")(x)
        x = keras.layers.Dropout(0.5)(x)
        x = keras.layers.Dense(6, activation="relu", name="top")(x)
        model = keras.Model(inputs, keras.layers.Add()([x, skip]))
        return Backbone("tiny", model, layer_stages(model), self.batch_norm)


class TinyFrozen(TinyDense):
    """The same, and none of it can be trained."""

    def load(self, input_spec, pretrained=True):
        there = super().load(input_spec, pretrained)
        return replace(there, stages=(), frozen_because="nobody may")


class TinyConstant(BackboneSource):
    """Few weights in a graph that is large, since it holds numbers that are none."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        x = keras.layers.Dense(6, name="bottom")(inputs)
        rows = np.random.default_rng(0).normal(0, 0.01, (6, 10_000)).astype("float32")
        x = keras.ops.matmul(keras.ops.matmul(x, rows), rows.T)
        model = keras.Model(inputs, x)
        return Backbone("constant", model, layer_stages(model), self.batch_norm)


class TinyWords(BackboneSource):
    """Looks words up by their hash."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype="string")
        numbers = keras.layers.Hashing(100)(inputs)
        model = keras.Model(inputs, keras.layers.Embedding(100, 6, name="words")(numbers))
        return Backbone("words", model, layer_stages(model), self.batch_norm)


class TinyFlags(BackboneSource):
    """A dense layer over booleans."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype="bool")
        numbers = keras.ops.cast(inputs, "float32")
        model = keras.Model(inputs, keras.layers.Dense(6, name="flags")(numbers))
        return Backbone("flags", model, layer_stages(model), self.batch_norm)


class TinyPixels(BackboneSource):
    """The mean colour of a picture through a dense layer."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
        x = keras.layers.GlobalAveragePooling2D()(x)
        model = keras.Model(inputs, keras.layers.Dense(6, activation="tanh", name="colours")(x))
        return Backbone("pixels", model, layer_stages(model), self.batch_norm)


def vector_split(size: int, seed: int = 0, part: str = "train") -> Split:
    """Three classes of vectors that a linear model can tell apart."""
    labels = (np.arange(size) % 3).astype("int32")
    rows = np.random.default_rng(seed).normal(labels[:, None], 0.7, (size, 8)).astype("float32")
    held = tf.constant(rows)
    names = [f"{part}/{number}" for number in range(size)]
    return Split(names, labels, lambda index: tf.gather(held, index))


def word_split(size: int, part: str = "train") -> Split:
    """Three classes, each with a word of its own."""
    labels = (np.arange(size) % 3).astype("int32")
    held = tf.constant([TARGET.names[label] for label in labels])
    names = [f"{part}/{number}" for number in range(size)]
    return Split(names, labels, lambda index: tf.gather(held, index))


class Ramp(DataSource):
    """Vectors in three classes, 22 of them to train on: the last batch is uneven."""

    input: Input = Vectors()
    batch_size: int = 4
    sizes: tuple[int, int, int] = (22, 9, 9)

    def load(self, seed):
        names = ("train", "validation", "test")
        parts = [vector_split(*each) for each in zip(self.sizes, range(3), names, strict=True)]
        return Splits(*parts, TARGET, self.input)


class Untested(Ramp):
    """The same, without test examples."""

    def load(self, seed):
        return replace(super().load(seed), test=None)


class Signs(DataSource):
    """Booleans in three classes: which numbers of a vector are above 1."""

    input: Input = Flags()
    batch_size: int = 4

    def load(self, seed):
        found = Ramp().load(seed)
        splits = {name: above_one(split) for name, split in found.by_name().items()}
        return Splits(*splits.values(), TARGET, self.input)


def above_one(split: Split) -> Split:
    """The same examples, their numbers compared with 1."""
    return replace(split, fetch=lambda index: split.fetch(index) > 1.0)


class Tags(Ramp):
    """The same vectors, with labels that tell the classes apart."""

    def load(self, seed):
        whole = super().load(seed)
        rows = np.array([[0, 0, 1], [1, 0, 0], [1, 1, 1]], "float32")
        tagged = {
            name: replace(split, labels=rows[split.labels])
            for name, split in whole.by_name().items()
        }
        return replace(whole, target=Target("multilabel", ("new", "old", "odd")), **tagged)


class Texts(DataSource):
    """Words in three classes."""

    input: Input = Words()
    batch_size: int = 4

    def load(self, seed):
        parts = [word_split(24), word_split(9, "validation"), word_split(9, "test")]
        return Splits(*parts, TARGET, self.input)


def tiny_task(splits: Splits, head: Classifier | None = None, **backbone) -> Task:
    """A task with the same weights each time."""
    keras.utils.set_random_seed(0)
    loaded = TinyDense(**backbone).load(splits.input.spec)
    return assemble(loaded, head or Classifier(label_smoothing=0.0), splits.target, splits.input)


def training(task: Task, splits: Splits, **settings) -> TrainingContext:
    """What all phases share, in a directory of its own."""
    best = Best(task.model, settings.pop("monitor", "accuracy"))
    settings.setdefault("batch_size", 4)
    policy = settings.pop("cache_policy", CachePolicy("memory"))
    feature_cache = FeatureCache(policy, settings.get("seed", 0), task.backbone.name)
    directory = settings.pop("directory", None) or Path(tempfile.mkdtemp())
    return TrainingContext(task, splits, directory, best, feature_cache, **settings)


def values(variables) -> list[np.ndarray]:
    """Copies, to compare with later."""
    return [np.array(variable.numpy()) for variable in variables]


def same(variables, before) -> list[bool]:
    """Says of each variable whether it is bit-identical to what it was."""
    return [np.array_equal(v.numpy(), old) for v, old in zip(variables, before, strict=True)]


def assert_same_weights(kept, whole) -> None:
    """Two phases, each its result and weights: one on kept features, one on the whole model."""
    assert (kept[0].features_kept, whole[0].features_kept) == (True, False)
    for a, b in zip(kept[1], whole[1], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def spoilt(split, rows):
    """The split with examples that cannot be decoded."""
    bad = tf.constant(rows, tf.int64)

    def fetch(index):
        broken = tf.reduce_any(bad == tf.cast(index, tf.int64))
        return tf.where(broken, np.nan, split.fetch(index))

    return replace(split, fetch=fetch)


def phase(name="only", **settings):
    """A phase that trains the head for two epochs, unless `settings` say otherwise."""
    defaults = {"epochs": 2, "optimizer": Adam(learning_rate=0.01), "unfreeze": UnfreezeNone()}
    return Phase(name=name, **{**defaults, **settings})
