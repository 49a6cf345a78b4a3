"""A batch that is worked off in parts gives the step of the whole."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import Ramp, tiny_task, training, values

from kft.engine.accumulate import in_parts
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.recipe.optimizer import AdamW
from kft.recipe.schedule import Cosine
from kft.recipe.unfreeze import UnfreezeTop


def trained(**settings):
    """Trains two steps an epoch, of 12 and of 10 examples."""
    splits = Ramp().load(0)
    task = tiny_task(splits, Classifier(hidden=(5,), dropout=0.0, l2=1e-2))
    phase = Phase(
        name="tune",
        epochs=3,
        optimizer=AdamW(learning_rate=0.01, weight_decay=0.1),
        schedule=Cosine(warmup_epochs=0.5),
        unfreeze=UnfreezeTop(stages=1),
        clip_norm=0.5,
        **settings,
    )
    (result,) = train(training(task, splits, class_weights={"low": 3.0}), [phase])
    return result, values(task.model.variables)


def test_accumulated_steps_are_those_of_the_large_batch():
    """With weights, clipping, decay, penalties, several inputs and an uneven end."""
    parted, found = trained(batch_size=4, accumulate_steps=3)
    whole, expected = trained(batch_size=12)

    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)
    for a, b in zip(parted.epochs, whole.epochs, strict=True):
        assert a["learning_rate"] == b["learning_rate"]
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["accuracy"] == pytest.approx(b["accuracy"])
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=1e-5)


class Largest(keras.layers.Layer):
    """Remembers the largest batch that it saw."""

    def build(self, shape):
        self.seen = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)

    def call(self, inputs):
        self.seen.assign(tf.maximum(self.seen, tf.shape(inputs)[0]))
        return inputs


def test_no_more_examples_than_a_part_are_worked_on_at_once_and_a_batch_is_one_step():
    inputs = keras.Input((2,))
    largest = Largest()
    model = in_parts(keras.Model(inputs, keras.layers.Dense(1)(largest(inputs))), 4)
    model.compile(keras.optimizers.SGD(0.1), "mse")

    model.fit(np.ones((16, 2)), np.ones((16, 1)), batch_size=10, epochs=2, verbose=0)

    assert int(largest.seen) == 4
    assert int(model.optimizer.iterations) == 4


def test_keras_itself_still_takes_the_schedule_by_the_batch_and_carries_leftovers_over():
    """Keras 3.15; once it does not, its own accumulation may serve."""
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([1], [1.0, 0.0])
    optimizer = keras.optimizers.SGD(rate, gradient_accumulation_steps=2)
    variable = keras.Variable([0.0])
    for _ in range(5):
        optimizer.apply([tf.constant([1.0])], [variable])

    assert (int(optimizer.iterations), float(optimizer.learning_rate)) == (2, 0.0)
    assert float(variable[0]) == -1.0
    assert float(optimizer._accumulated_gradients[0][0]) == 1.0
