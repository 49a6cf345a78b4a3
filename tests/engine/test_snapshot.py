"""Copies of weights that take no more room than they must."""

import keras
import numpy as np
import tensorflow as tf
from tiny import values

from kft.engine.snapshot import Snapshot


def small_model(trainable):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4, name="low"), keras.layers.Dense(1, name="high")]
    )
    model.get_layer("low").trainable = trainable
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def fit(model):
    model.fit(np.ones((8, 4), "float32"), np.zeros((8, 1), "float32"), verbose=0)


def test_values_stay_what_they_were_and_come_back_any_number_of_times():
    model = small_model(trainable=True)
    before = values(model.variables)
    snapshot = Snapshot.of(model.variables)

    for _ in range(2):
        fit(model)
        assert not np.array_equal(model.variables[0].numpy(), before[0])
        snapshot.restore()
        assert all(map(np.array_equal, values(model.variables), before))


def test_what_training_does_not_touch_takes_no_memory():
    model = small_model(trainable=False)

    snapshot = Snapshot.of(model.variables)
    fit(model)

    shared = [
        np.shares_memory(value._numpy(), variable.value.read_value()._numpy())
        for value, variable in zip(snapshot.values, model.variables, strict=True)
    ]
    assert shared == [True, True, False, False]


def test_the_ends_and_what_both_have_are_exact_and_the_way_between_is_straight():
    numbers = [
        keras.Variable([0.1, 1.0]),
        keras.Variable([0.3, 0.7]),
        keras.Variable(3, dtype="int32"),
    ]
    start = Snapshot.of(numbers)
    numbers[0].assign([0.3, 2.0])
    numbers[2].assign(9)
    end = Snapshot.of(numbers)

    between = start.towards(end, 0.3)

    assert start.towards(end, 0.0) is start
    assert start.towards(end, 1.0) is end
    np.testing.assert_allclose(between.values[0], [0.16, 1.3], rtol=1e-6)
    assert np.array_equal(between.values[1], np.array([0.3, 0.7], "float32"))
    assert int(between.values[2]) == 9
    assert between.values[0].dtype == tf.float32
