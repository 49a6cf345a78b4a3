"""An average of the weights is what is validated, selected and left; the weights train on."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import Ramp, tiny_task, training, values

from kft.engine.callbacks.averages import (
    EpochAverage,
    MovingAverage,
    NoAverage,
    average_of,
    changed_variables,
)
from kft.engine.loop import Training
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.recipe.optimizer import Adam, Sgd
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeGradual, UnfreezeNone
from kft.scoring.evaluate import evaluate


class Witness(keras.callbacks.Callback):
    """Copies the weights at the moments its place in the list lets it see."""

    by_batch = True

    def __init__(self):
        super().__init__()
        self.batches, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(kernel_of(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(kernel_of(self.model))


class StopAfterTwo(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1


def kernel_of(model):
    return model.layers[1].kernel.numpy()


def small_model(**optimizer):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile(keras.optimizers.SGD(0.1, **optimizer), loss="mse", jit_compile=False)
    return model


def fit(model, average, epochs, *others):
    """Trains three steps an epoch; returns what was seen before and after the average."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (12, 4)), rng.normal(0, 1, (12, 2))
    before, after = Witness(), Witness()
    average.begin(model)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4).repeat()
    callbacks = [before, average, after, *others, average.put_back]
    Training(model, batches, 3, callbacks).run(epochs)
    return before, after


def recursion(first, weights, decay):
    """The moving averages after each step, by hand."""
    average, found = first, []
    for step, weight in enumerate(weights, start=1):
        d = min(decay, (1 + step) / (10 + step))
        average = d * average + (1 - d) * weight
        found.append(average)
    return found


def test_a_moving_average_follows_its_recursion_and_stands_in_at_the_end_of_each_epoch():
    model = small_model()
    first = kernel_of(model)

    before, after = fit(model, MovingAverage(model, 2, 0.3), range(3))

    expected = recursion(first, before.batches, 0.3)
    for number, seen in enumerate(after.epochs):
        np.testing.assert_allclose(seen, expected[3 * number + 2], atol=1e-6)
    np.testing.assert_array_equal(kernel_of(model), after.epochs[-1])


def test_the_weights_themselves_train_on_as_without_an_average():
    model, other = small_model(), small_model()
    plain, _ = fit(model, NoAverage(model, 2), range(3))

    averaged, _ = fit(other, MovingAverage(other, 2, 0.9), range(3))

    np.testing.assert_array_equal(averaged.batches, plain.batches)


def test_a_batch_that_only_gathers_gradients_is_no_step_of_the_average():
    model = small_model(gradient_accumulation_steps=2)
    first = kernel_of(model)

    before, after = fit(model, MovingAverage(model, 1, 0.3), range(2))

    expected = recursion(first, before.batches[1::2], 0.3)
    np.testing.assert_allclose(after.epochs[1], expected[-1], atol=1e-6)
    np.testing.assert_array_equal(before.batches[0], first)


def test_the_mean_of_epochs_is_that_of_the_weights_at_their_ends():
    model = small_model()

    before, after = fit(model, EpochAverage(model, 4, 3), range(5))

    ends = before.batches[2::3]
    np.testing.assert_array_equal(after.epochs[1], ends[1])
    for number in (2, 3, 4):
        expected = np.mean(ends[2 : number + 1], axis=0)
        np.testing.assert_allclose(after.epochs[number], expected, atol=1e-6)
    np.testing.assert_array_equal(kernel_of(model), after.epochs[-1])


def test_a_phase_trained_in_parts_has_one_average():
    model = small_model()
    average = MovingAverage(model, 2, 0.3)
    first = kernel_of(model)

    one, _ = fit(model, average, range(2))
    two, after = fit(model, average, range(2, 3))

    expected = recursion(first, one.batches + two.batches, 0.3)
    np.testing.assert_allclose(after.epochs[-1], expected[-1], atol=1e-6)
    assert len(expected) == 9


def test_a_phase_that_stops_early_leaves_the_average():
    model = small_model()

    before, after = fit(model, MovingAverage(model, 4, 0.3), range(5), StopAfterTwo())

    assert len(after.epochs) == 2
    np.testing.assert_array_equal(kernel_of(model), after.epochs[1])
    assert np.abs(kernel_of(model) - before.batches[-1]).max() > 1e-4


def test_statistics_are_averaged_and_frozen_weights_and_seeds_are_not():
    inputs = keras.Input((4,))
    frozen, norm = keras.layers.Dense(3), keras.layers.BatchNormalization()
    model = keras.Model(inputs, norm(keras.layers.Dropout(0.5)(frozen(inputs))))
    for variable in frozen.variables:
        variable.trainable = False

    found = {id(variable) for variable in changed_variables(model)}

    assert found == {id(variable) for variable in norm.variables}


def phase(**settings):
    defaults = {"epochs": 4, "optimizer": Adam(learning_rate=0.05), "unfreeze": UnfreezeNone()}
    return Phase(name="only", **{**defaults, **settings})


def test_each_setting_has_its_average():
    settings = ({}, {"ema": 0.9}, {"swa_epochs": 2})
    found = [average_of(phase(**each), small_model(), 9) for each in settings]

    assert [type(average) for average in found] == [NoAverage, MovingAverage, EpochAverage]
    assert found[2]._first_epoch == 8


GRADUAL = {"unfreeze": UnfreezeGradual(groups=2, epochs_per_group=2), "accumulate_steps": 2}


@pytest.mark.parametrize(
    "settings",
    [{"ema": 0.9}, {"swa_epochs": 3}, {"ema": 0.9, **GRADUAL}],
    ids=["ema", "swa", "ema in segments"],
)
def test_what_is_recorded_selected_and_left_is_the_average(settings):
    """The scores of the records are those of the weights that come back and of those left."""
    splits = Ramp().load(0)
    task = tiny_task(splits, Classifier(dropout=0.0))
    raw = []

    def head():
        return values(task.head_model.trainable_variables)[0]

    def loss():
        return evaluate(task, splits.validation, splits.validation, "").scores["loss"]

    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: raw.append(head()))
    how = training(task, splits, monitor="loss", callbacks=lambda: [look])

    (result,) = train(how, [phase(**settings)])

    assert loss() == pytest.approx(result.epochs[-1]["val_loss"], abs=1e-5)
    assert np.abs(head() - raw[-1]).max() > 1e-4
    how.best.restore_best_weights()
    assert loss() == pytest.approx(result.best["val_loss"], abs=1e-5)


class PoisonOnce(keras.callbacks.Callback):
    """Makes a loss that is no number in the second epoch, once."""

    def __init__(self, done):
        super().__init__()
        self._done = done

    def on_train_batch_begin(self, batch, logs=None):
        if self._epoch == 1 and batch == 2 and not self._done:
            self._done.append(True)
            bias = self.model.trainable_variables[-1]
            bias.assign(bias * float("nan"))

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch


def test_going_back_to_the_last_good_epoch_takes_the_average_back_too():
    splits = Ramp().load(0)
    task = tiny_task(splits, Classifier(dropout=0.0))
    done = []
    how = training(task, splits, callbacks=lambda: [PoisonOnce(done)])
    tune = phase(ema=0.9, epochs=3, unfreeze=UnfreezeAll(), optimizer=Sgd(learning_rate=0.01))

    (result,) = train(how, [tune])

    assert len(result.rollbacks) == 1
    assert np.isfinite([record["val_loss"] for record in result.epochs]).all()
    assert all(np.isfinite(value).all() for value in values(task.model.variables))


def test_a_restored_average_goes_on_with_the_variables_and_values_that_it_had():
    whole, other = small_model(), small_model()
    first, second = MovingAverage(whole, 9, 0.3), MovingAverage(other, 9, 0.3)
    fit(whole, first, range(2))
    other.set_weights(whole.get_weights())

    second.restore(json.loads(json.dumps(first.state())))
    second.begin(other)
    for variable, value in zip(second.variables, values(first.variables), strict=True):
        variable.assign(value)

    _, expected = fit(whole, first, range(2, 3))
    _, found = fit(other, second, range(2, 3))
    np.testing.assert_array_equal(found.epochs, expected.epochs)
