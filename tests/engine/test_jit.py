"""XLA compiles the steps where that is asked for, or pays and can be done."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shown import shown_lines
from tiny import Ramp, Texts, TinyWords, phase, tiny_task, training, values
from two_devices import mirrored

from kft.engine.jit import FEWEST_STEPS, is_compiled
from kft.engine.train import train
from kft.errors import ConfigError
from kft.heads.classifier import Classifier
from kft.recipe.unfreeze import UnfreezeAll
from kft.task import assemble


@pytest.fixture
def one_gpu(monkeypatch):
    """TensorFlow says that it sees a GPU; it computes on the CPU."""
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda *_: [gpu])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda *_: {})


def dense():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    model.compile("adam", "categorical_crossentropy", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    data = (tf.zeros((8, 8)), tf.zeros((8, 3)), tf.ones(8))
    return model, tf.data.Dataset.from_tensor_slices(data).batch(4)


def words():
    splits = Texts().load(0)
    task = assemble(TinyWords().load(splits.input.spec), Classifier(), splits.target, splits.input)
    model = task.model
    model.compile("adam", "categorical_crossentropy", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    data = (tf.constant(["a"] * 4), tf.zeros((4, 3)), tf.ones(4))
    return model, tf.data.Dataset.from_tensor_slices(data).batch(4)


def test_on_a_cpu_nothing_is_compiled_by_itself():
    assert not is_compiled("auto", *dense(), 4, FEWEST_STEPS)


def test_on_a_gpu_what_takes_many_steps_is(one_gpu):
    assert is_compiled("auto", *dense(), 4, FEWEST_STEPS)
    assert not is_compiled("auto", *dense(), 4, FEWEST_STEPS - 1)
    assert not is_compiled(False, *dense(), 4, FEWEST_STEPS)


def test_looking_whether_xla_can_trains_nothing():
    model, batches = dense()
    before = values(model.variables)

    assert is_compiled(True, model, batches, 4, 1)

    for value, old in zip(values(model.variables), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_what_xla_cannot_compile_runs_as_it_is_and_says_why(one_gpu):
    with shown_lines() as lines:
        assert not is_compiled("auto", *words(), 4, FEWEST_STEPS)

    assert any("XLA cannot compile the steps" in line for line in lines)


def test_asking_for_what_xla_cannot_compile_is_an_error():
    with pytest.raises(ConfigError, match="'auto' or false") as caught:
        is_compiled(True, *words(), 4, 1)

    assert caught.value.where == "jit"


def test_compiled_steps_train_the_same_up_to_rounding():
    results = []
    for jit in (False, True):
        splits = Ramp().load(0)
        task = tiny_task(splits, Classifier(dropout=0.0))
        train(training(task, splits, jit=jit), [phase(epochs=3, unfreeze=UnfreezeAll())])
        results.append(values(task.model.trainable_variables))

    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(plain, compiled, atol=1e-4)


def test_a_strategy_of_one_device_can_be_compiled_too():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert is_compiled(True, *dense(), 4, 1)


def test_several_devices_are_refused_before_anything_trains():
    with mirrored().scope():
        splits = Ramp().load(0)
        how = training(tiny_task(splits), splits, jit=True)

        with pytest.raises(ConfigError, match="2 devices train together") as caught:
            train(how, [phase()])

    assert caught.value.where == "jit"
