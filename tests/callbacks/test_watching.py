"""What the callbacks that watch a fit keep, measure and mend."""

import keras
import numpy as np
import pytest
from own_models import X, Y, built, fit, moved, snapshot

from kft.callbacks import (
    BestAcrossPhases,
    DiscriminativeLearningRates,
    DivergenceGuard,
    DriftMonitor,
)
from kft.errors import ConfigError


def watched(callback, model=None):
    """A callback that has been told of its model."""
    callback.set_model(model or built())
    callback.on_train_begin()
    return callback


def test_the_best_is_kept_over_fits_and_a_tie_goes_to_the_lower_loss():
    best = watched(BestAcrossPhases("val_accuracy"))
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.5, 0.9), (0.5, 0.9)]):
        best.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": loss})
    kept = snapshot(best.model)
    for variable in best.model.weights:
        variable.assign(variable + 1.0)
    best.on_train_begin()
    best.on_epoch_end(0, {"val_accuracy": 0.4, "val_loss": 0.1})

    best.restore()

    assert (best.best, best.epoch, best.fit) == (0.5, 1, 0)
    assert not moved(best.model, kept)


def test_what_is_not_a_number_is_never_the_best():
    best = watched(BestAcrossPhases("val_loss"))

    best.on_epoch_end(0, {"val_loss": np.nan})

    with pytest.raises(ConfigError, match="has seen no epoch yet"):
        best.restore()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="whether a high 'val_perplexity' is good is not known"):
        BestAcrossPhases("val_perplexity")
    with pytest.raises(ConfigError, match="got 'up'"):
        BestAcrossPhases("val_loss", "up")
    with pytest.raises(ConfigError, match="no 'val_acc' in the logs. Known: loss, val_loss"):
        watched(BestAcrossPhases("val_acc")).on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})


def test_another_model_does_not_get_the_weights():
    best = watched(BestAcrossPhases("loss"))
    best.on_epoch_end(0, {"loss": 1.0})

    best.set_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))

    with pytest.raises(ConfigError, match="has other weights than the one of the fit before"):
        best.on_train_begin()


def test_drift_is_relative_to_the_pretrained_weights_and_statistics_count_apart():
    pretrained, model = built(), built()
    drift, logs = watched(DriftMonitor({"b": "backbone"}, pretrained), model), {}
    for variable in model.get_layer("backbone").weights:
        variable.assign(variable * (3.0 if "moving" in variable.name else 1.5))

    drift.on_epoch_end(0, logs)

    assert logs == pytest.approx({"drift/b": 0.5, "drift/b/statistics": 2.0})


def test_without_groups_each_layer_with_weights_drifts_by_itself():
    drift, logs = watched(DriftMonitor()), {}

    drift.on_epoch_end(0, logs)

    assert logs == {"drift/backbone": 0.0, "drift/backbone/statistics": 0.0, "drift/head": 0.0}


def test_shares_of_the_rate_fall_with_depth():
    model = built(optimizer=keras.optimizers.Adam(0.01))
    rates = DiscriminativeLearningRates.by_depth(["low", "norm|high"], decay=0.5)
    start = snapshot(model)

    model.fit(X, Y, batch_size=16, callbacks=[rates], verbose=0)

    changes = {
        variable.path.split("/")[-2]: float(np.abs(variable.numpy() - old).max())
        for variable, old in zip(model.weights, start, strict=True)
        if variable.name == "kernel"
    }
    # The first step of Adam is as long as the rate, whatever the gradient.
    assert changes == pytest.approx({"low": 0.0025, "high": 0.005, "head": 0.01}, rel=0.01)


def test_shares_that_cannot_be_meant_are_refused():
    with pytest.raises(ConfigError, match="Give a factor of 0 or more"):
        DiscriminativeLearningRates({"low": -1.0})
    with pytest.raises(ConfigError, match="Give a factor of 0 or more"):
        DiscriminativeLearningRates({})
    with pytest.raises(ConfigError, match="'lower' matches no layer"):
        watched(DiscriminativeLearningRates({"lower": 0.1}))


class Poison(keras.callbacks.Callback):
    """Makes the weights NaN once, before a step or after the last of an epoch."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            self.batch = None
            head = self.model.get_layer("head")
            head.kernel.assign(head.kernel * np.nan)


@pytest.mark.parametrize("batch", [0, 1], ids=["within-an-epoch", "at-its-end"])
def test_a_fit_goes_on_at_half_the_rate_after_weights_that_are_not_numbers(batch):
    model = built(optimizer=keras.optimizers.Adam(0.08), metrics=["mae"])
    guard = DivergenceGuard()

    with pytest.warns(UserWarning, match="went back .* lowered the learning rate to 0.04"):
        history = fit(model, guard, Poison(batch))

    assert guard.rollbacks == 1
    assert all(np.isfinite(variable.numpy()).all() for variable in model.weights)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.04)
    assert np.isfinite(history["loss"][-1])
    assert np.isnan(history["loss"][0]) == (batch == 0)
    assert np.isnan(history["mae"][0]) == (batch == 0)


def test_a_guard_needs_a_rate_that_it_can_lower_and_a_factor_that_lowers_it():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)

    with pytest.raises(ConfigError, match="is not one number, which could be lowered"):
        watched(DivergenceGuard(), built(optimizer=keras.optimizers.Adam(schedule)))
    with pytest.raises(ConfigError, match="factor: got 2"):
        DivergenceGuard(factor=2)


class Unbuilt(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(1, name="head")

    def call(self, inputs):
        return self.head(inputs)


class HalfBuilt(Unbuilt):
    """Has a weight, and makes those of its head in the first step."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale")

    def call(self, inputs):
        return super().call(inputs) * self.scale


WATCHING = pytest.mark.parametrize(
    "make",
    [DriftMonitor, DivergenceGuard, lambda: DiscriminativeLearningRates({"head": 0.1})],
    ids=["DriftMonitor", "DivergenceGuard", "DiscriminativeLearningRates"],
)


@WATCHING
def test_weights_that_are_not_there_yet_are_asked_for(make):
    model = Unbuilt()
    model.compile(optimizer="sgd", loss="mse")

    with pytest.raises(ConfigError, match="has no weights yet. Call it once on a batch"):
        fit(model, make())


@pytest.mark.parametrize(
    "make",
    [lambda: DriftMonitor({"head": "head"}), lambda: DiscriminativeLearningRates({"head": 0.1})],
    ids=["DriftMonitor", "DiscriminativeLearningRates"],
)
def test_weights_that_come_in_the_first_step_are_asked_for(make):
    model = HalfBuilt()
    model.build((None, 4))
    model.compile(optimizer="sgd", loss="mse")

    with pytest.raises(ConfigError, match="have no weights|Call the model once on a batch"):
        fit(model, make())


def test_drift_from_a_model_of_another_make_is_refused():
    pretrained = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])

    with pytest.raises(ConfigError, match="other weights than those to measure from"):
        watched(DriftMonitor({"h": "head"}, pretrained))
    with pytest.raises(ConfigError, match=r"groups\['none'\]: these layers have no weights"):
        watched(DriftMonitor({"none": "drop"}), dropping())


def dropping():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5, name="drop"), dense()])


def dense():
    return keras.layers.Dense(1)


def test_the_best_weights_of_a_model_that_was_built_in_fit_come_back():
    model, best = Unbuilt(), BestAcrossPhases("val_loss")
    model.compile(optimizer=keras.optimizers.SGD(100.0), loss="mse")
    fit(model, best)

    best.restore()

    assert model.evaluate(X, Y, verbose=0) == pytest.approx(best.best)


def test_the_best_weights_do_not_go_into_a_model_that_has_gained_some():
    model, best = keras.Sequential([keras.Input((4,)), dense()]), BestAcrossPhases("val_loss")
    model.compile(optimizer="sgd", loss="mse")
    fit(model, best)

    model.add(dense())

    with pytest.raises(ConfigError, match="has other weights than the one of the fit before"):
        best.restore()


class Explode(keras.callbacks.Callback):
    """Spoils the weights once, after the last step of an epoch, though not to NaN."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            head = self.model.get_layer("head")
            head.kernel.assign(head.kernel * -1e6)


@pytest.mark.parametrize("batch_size", [8, 16], ids=["two-steps", "one-step"])
def test_weights_whose_first_loss_is_too_high_are_not_gone_back_to(batch_size):
    model, guard = built(optimizer=keras.optimizers.SGD(0.1)), DivergenceGuard(loss_above=20.0)
    settings = {"batch_size": batch_size, "verbose": 0, "shuffle": False}

    with pytest.warns(UserWarning, match="Epoch 3 had a loss of .* to the beginning of epoch 2 "):
        history = model.fit(X, Y, epochs=4, callbacks=[guard, Explode(1)], **settings).history

    assert guard.rollbacks == 1
    assert history["loss"][3] < 20.0
    assert model.evaluate(X, Y, verbose=0) < 20.0


@pytest.mark.filterwarnings("ignore:Epoch . had a loss")
def test_a_guard_that_gives_up_leaves_good_weights():
    model = built(optimizer=keras.optimizers.SGD(1e4))
    before = model.evaluate(X, Y, verbose=0)
    guard = DivergenceGuard(loss_above=2 * before, max_rollbacks=2)

    fit(model, guard, epochs=9)

    assert guard.rollbacks == 3
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(before)


def test_a_last_step_that_leaves_no_numbers_is_undone():
    model, guard = built(), DivergenceGuard()

    with pytest.warns(UserWarning, match="Epoch 1 had weights that are not numbers"):
        fit(model, guard, Poison(1), epochs=1)

    assert all(np.isfinite(variable.numpy()).all() for variable in model.weights)


def test_what_was_good_in_another_model_does_not_come_into_this_one():
    guard, first, second = DivergenceGuard(loss_above=50.0), built(), built()
    fit(first, guard, epochs=1)
    kept = snapshot(first)
    start = snapshot(second)

    with pytest.warns(UserWarning, match="Epoch 1 had .* to its beginning"):
        fit(second, guard, Poison(0), epochs=2)

    assert not moved(first, kept)
    assert moved(second, start)
