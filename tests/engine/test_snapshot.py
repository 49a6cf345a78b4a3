"""Copies of weights that take no more room than they must."""

from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from tiny import Ramp, tiny_task, training, values

from kft.engine.snapshot import Copies, Snapshot
from kft.engine.train import train
from kft.phase import Phase
from kft.recipe.optimizer import Sgd
from kft.recipe.unfreeze import UnfreezeTop
from kft.task import save_weights


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


def is_shared(one, other):
    """Which values are the very same tensor in two snapshots: on a GPU, those copied once."""
    return [a is b for a, b in zip(one.values, other.values, strict=True)]


def test_frozen_weights_are_copied_once_for_all_snapshots():
    model, copies = small_model(trainable=False), Copies()
    copies.begin(model)
    before = copies.of(model.variables)
    fit(model)
    after = copies.of(model.variables)

    assert is_shared(before, after) == [True, True, False, False]
    assert not np.array_equal(before.values[2], after.values[2])

    model.get_layer("low").trainable = True
    copies.begin(model)
    unfrozen = copies.of(model.variables)
    assert not any(is_shared(after, unfrozen))

    model.compile(keras.optimizers.SGD(0.1), "mse")
    fit(model)
    model.get_layer("low").trainable = False
    copies.begin(model)
    assert np.array_equal(copies.of(model.variables).values[0], model.variables[0].numpy())


def test_statistics_of_a_frozen_normalisation_are_copied_each_time():
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    model.layers[0].trainable = False
    copies = Copies()

    copies.begin(model)

    first, second = copies.of(model.variables), copies.of(model.variables)
    assert is_shared(first, second) == [True, True, False, False]


def test_best_and_rollback_share_what_a_phase_leaves_alone():
    splits = Ramp().load(0)
    task = tiny_task(splits)
    context = training(task, splits)
    phase = Phase(name="top", epochs=3, optimizer=Sgd(), unfreeze=UnfreezeTop(stages=1))
    starts = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            starts.append(context.best.copies.of(task.model.variables))

    train(replace(context, callbacks=lambda: [Watch()]), [phase])

    trained = {id(v) for v in task.model.trainable_variables}
    weights = [v.path.endswith(("kernel", "bias", "gamma", "beta")) for v in task.model.variables]
    held = [id(v) not in trained and w for v, w in zip(task.model.variables, weights, strict=True)]
    assert 0 < sum(held) < len(held)
    assert is_shared(starts[0], starts[-1]) == held
    assert is_shared(starts[0], context.best.overall.weights) == held


def test_weights_are_written_from_a_snapshot_that_the_model_has_not_taken_back(tmp_path):
    task = tiny_task(Ramp().load(0))
    best, wanted = Snapshot.of(task.model.variables), values(task.model.variables)
    for variable in task.model.trainable_variables:
        variable.assign(variable + 1.0)
    now = values(task.model.variables)

    with best.seen():
        save_weights(task, tmp_path / "best.weights.h5")

    assert all(map(np.array_equal, values(task.model.variables), now))
    task.model.load_weights(tmp_path / "best.weights.h5")
    assert all(map(np.array_equal, values(task.model.variables), wanted))
