"""A step of the head phase in kft and in one compiled loop by hand: a part of `engine.py`.

    python benchmarks/engine_loop.py WIDTH

Prints the seconds of a step of each on so many cached features: the difference of a long and a
short phase, so that neither start nor tracing counts. Both take the same steps, count the same
metrics and validate after each epoch.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import kft
from kft.backbone import layer_stages
from kft.cache.feature_cache import FeatureCache
from kft.cache.place import CachePolicy
from kft.engine.best import Best
from kft.engine.context import TrainingContext
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.recipe.optimizer import AdamW
from kft.recipe.unfreeze import UnfreezeNone
from kft.task import assemble

EXAMPLES, BATCH, CLASSES = 8000, 32, 10
SHORT, LONG = 2, 10  # epochs


class Vectors(kft.Input):
    """Eight floats, as they are."""

    @property
    def spec(self) -> tf.TensorSpec:
        return tf.TensorSpec((8,), tf.float32)

    @property
    def is_augmented(self) -> bool:
        return False

    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        return raw

    def augment(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return inputs

    def signatures(self) -> tuple[kft.Signature, ...]:
        spec = tf.TensorSpec((None, 8), tf.float32, name="vectors")
        return (kft.Signature("serving_default", spec, tf.identity),)


def noise() -> kft.Splits:
    """Ten classes of noise, 8,000 vectors to train on and 1,600 to validate on."""
    chance = np.random.default_rng(0)

    def split(size: int) -> kft.Split:
        rows = tf.constant(chance.normal(size=(size, 8)), "float32")
        labels = chance.integers(0, CLASSES, size).astype("int32")
        names = [str(number) for number in range(size)]
        return kft.Split(names, labels, lambda index: tf.gather(rows, index))

    target = kft.Target("class", tuple(map(str, range(CLASSES))))
    return kft.Splits(split(EXAMPLES), split(EXAMPLES // 5), None, target, Vectors())


def new_task(splits: kft.Splits, width: int) -> kft.Task:
    """A head on a frozen layer that gives so many features."""
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(width, name="features")(inputs))
    backbone = kft.Backbone("wide", model, layer_stages(model), "frozen")
    return assemble(backbone, Classifier(), splits.target, splits.input)


def by_kft(splits: kft.Splits, width: int, epochs: int) -> float:
    """The seconds of a head phase."""
    task = new_task(splits, width)
    adamw = AdamW(learning_rate=1e-3)
    phase = kft.Phase(name="head", epochs=epochs, optimizer=adamw, unfreeze=UnfreezeNone())
    with tempfile.TemporaryDirectory() as directory:
        cache = FeatureCache(CachePolicy("memory"), 0, "wide")
        best = Best(task.model, "accuracy")
        context = TrainingContext(task, splits, Path(directory), best, cache, batch_size=BATCH)
        started = time.perf_counter()
        train(context, [phase])
        return time.perf_counter() - started


def by_hand(splits: kft.Splits, width: int, epochs: int) -> float:
    """The seconds of the same epochs, each one call of TensorFlow."""
    task = new_task(splits, width)
    features = [
        (task.backbone.model(split.fetch(tf.range(split.size))), tf.one_hot(split.labels, CLASSES))
        for split in (splits.train, splits.validation)
    ]
    epoch = one_epoch(task, *features)
    started = time.perf_counter()
    for number in range(epochs):
        float(epoch(tf.constant(number)))
    return time.perf_counter() - started


def one_epoch(
    task: kft.Task, training: tuple[tf.Tensor, ...], validation: tuple[tf.Tensor, ...]
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A graph of the steps of an epoch, by its number, and of a validation."""
    head, loss_of = task.head_model, task.head.loss(task.target)
    optimizer = keras.optimizers.AdamW(1e-3)
    optimizer.build(head.trainable_variables)
    mean, metrics = keras.metrics.Mean(), task.head.metrics()
    x, y = training

    def count(loss: tf.Tensor, labels: tf.Tensor, answers: tf.Tensor) -> None:
        mean.update_state(loss)
        metrics[0].update_state(labels, answers)

    def train_on(rows: tf.Tensor) -> None:
        labels = tf.gather(y, rows)
        with tf.GradientTape() as tape:
            answers = head(tf.gather(x, rows), training=True)
            loss = loss_of(labels, answers)
        gradients = tape.gradient(loss, head.trainable_variables)
        optimizer.apply_gradients(zip(gradients, head.trainable_variables, strict=True))
        count(loss, labels, answers)

    @tf.function(jit_compile=False)
    def epoch(number: tf.Tensor) -> tf.Tensor:
        def step(first: tf.Tensor) -> tf.Tensor:
            places = tf.range(first, tf.minimum(first + BATCH, EXAMPLES))
            key = tf.stack([0, number])
            train_on(tf.random.experimental.index_shuffle(places, key, EXAMPLES - 1))
            return first + BATCH

        tf.while_loop(lambda first: first < EXAMPLES, step, [0])
        answers = head(validation[0], training=False)
        count(loss_of(validation[1], answers), validation[1], answers)
        return mean.result()

    return epoch


def main(width: int) -> None:
    """Prints both."""
    splits, steps = noise(), (LONG - SHORT) * -(-EXAMPLES // BATCH)
    found = {
        name: (way(splits, width, LONG) - way(splits, width, SHORT)) / steps
        for name, way in (("kft", by_kft), ("by_hand", by_hand))
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
