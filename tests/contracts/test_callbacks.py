"""What every public callback promises in a fit of one's own. A new one joins by one line."""

import doctest

import keras
import numpy as np
import pytest
from own_models import built, fit, moved, snapshot
from two_devices import mirrored

from kft import callbacks
from kft.callbacks import (
    BestAcrossPhases,
    DiscriminativeLearningRates,
    DivergenceGuard,
    DriftMonitor,
    FreezeBatchNorm,
    GradualUnfreeze,
    UnfreezeBackbone,
)

NORM = {"gamma", "beta", "moving_mean", "moving_variance"}
KERNELS = {"low", "high", "head"}


def trained_all_but_norm(callback, model, start, history):
    return moved(model, start) == KERNELS


def slowed(callback, model, start, history):
    return moved(model, start) == {"high", "head", *NORM}


def kept_the_best(callback, model, start, history):
    callback.restore()
    return callback.best == min(history["val_loss"])


def saw_drift(callback, model, start, history):
    return history["drift/all"][-1] > 0 and history["drift/all/statistics"][-1] > 0


def went_back(callback, model, start, history):
    return not moved(model, start) and callback.rollbacks == 2


# Each in a model of another make and with another optimizer.
CALLBACKS = {
    "UnfreezeBackbone": (
        lambda: UnfreezeBackbone("backbone", at_epoch=1, learning_rate=0.01),
        trained_all_but_norm,
        ("functional", keras.optimizers.AdamW),
    ),
    "GradualUnfreeze": (
        lambda: GradualUnfreeze({0: "high", 1: "low|norm"}),
        trained_all_but_norm,
        ("functional", keras.optimizers.Adam),
    ),
    "DiscriminativeLearningRates": (
        lambda: DiscriminativeLearningRates({"low": 0.0}),
        slowed,
        ("sequential", keras.optimizers.Adam),
    ),
    "BestAcrossPhases": (
        lambda: BestAcrossPhases("val_loss"),
        kept_the_best,
        ("subclassed", keras.optimizers.SGD),
    ),
    "DriftMonitor": (
        lambda: DriftMonitor({"all": ".*"}),
        saw_drift,
        ("sequential", keras.optimizers.AdamW),
    ),
    "FreezeBatchNorm": (
        lambda: FreezeBatchNorm("norm"),
        trained_all_but_norm,
        ("functional", keras.optimizers.SGD),
    ),
    "DivergenceGuard": (
        lambda: DivergenceGuard(max_rollbacks=1, loss_above=0.0),
        went_back,
        ("functional", keras.optimizers.AdamW),
    ),
}
EACH = pytest.mark.parametrize(("make", "works", "how"), CALLBACKS.values(), ids=CALLBACKS)

# Going back says so each time.
pytestmark = pytest.mark.filterwarnings("ignore:Epoch . had a loss")


def test_every_public_callback_is_tested_here():
    assert sorted(CALLBACKS) == callbacks.__all__


@pytest.mark.parametrize("name", callbacks.__all__)
def test_the_example_of_the_docstring_runs(name):
    keras.utils.set_random_seed(0)
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(callbacks, name), name)

    result = doctest.DocTestRunner().run(test)

    assert result.attempted > 5
    assert result.failed == 0


@EACH
def test_it_works_beside_the_callbacks_of_keras_and_after_loading(make, works, how, tmp_path):
    kind, optimizer = how
    model, callback = built(kind, optimizer(0.05)), make()
    start = snapshot(model)
    others = [
        keras.callbacks.EarlyStopping(patience=9),
        keras.callbacks.ReduceLROnPlateau(patience=9),
        keras.callbacks.ModelCheckpoint(tmp_path / "model.keras"),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
    ]

    history = fit(model, callback, *others, epochs=2)
    assert works(callback, model, start, history)

    loaded, callback = keras.models.load_model(tmp_path / "model.keras"), make()
    start, updates = snapshot(loaded), int(loaded.optimizer.iterations)
    history = fit(loaded, callback, epochs=3, initial_epoch=2)
    assert works(callback, loaded, start, history)
    assert updates == int(model.optimizer.iterations)


@pytest.mark.slow
def test_all_work_together_under_mirrored_strategy():
    with mirrored().scope():
        model = built("functional", keras.optimizers.Adam(0.05))
    start, best, guard = snapshot(model), BestAcrossPhases("val_loss"), DivergenceGuard()
    working = [
        UnfreezeBackbone("high", at_epoch=1),
        GradualUnfreeze({1: "low"}),
        FreezeBatchNorm(),
        DiscriminativeLearningRates({"low": 0.0}),
        DriftMonitor({"high": "high", "low": "low"}),
        best,
        guard,
    ]

    history = fit(model, *working, epochs=2)

    assert {type(callback).__name__ for callback in working} == {*CALLBACKS}
    assert moved(model, start) == {"high", "head"}
    assert history["drift/high"][0] == 0.0 < history["drift/high"][1]
    assert history["drift/low"] == [0.0, 0.0]
    assert best.best == min(history["val_loss"])
    assert guard.rollbacks == 0
    for variable in model.trainable_variables:
        first, second = variable.value.values
        np.testing.assert_array_equal(first.numpy(), second.numpy())


@pytest.mark.slow
def test_going_back_goes_back_on_every_replica():
    with mirrored().scope():
        model = built("functional", keras.optimizers.Adam(0.05))
    start, guard = snapshot(model), DivergenceGuard(max_rollbacks=1, loss_above=0.0)

    history = fit(model, guard, epochs=1)

    assert went_back(guard, model, start, history)
    for variable in model.trainable_variables:
        first, second = variable.value.values
        np.testing.assert_array_equal(first.numpy(), second.numpy())
