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
    with pytest.raises(ConfigError, match="Give a share of 0 or more"):
        DiscriminativeLearningRates({"low": -1.0})
    with pytest.raises(ConfigError, match="Give a share of 0 or more"):
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


@pytest.mark.parametrize(
    "callback",
    [DriftMonitor(), DivergenceGuard(), DiscriminativeLearningRates({"head": 0.1})],
    ids=lambda callback: type(callback).__name__,
)
def test_weights_that_are_not_there_yet_are_asked_for(callback):
    model = Unbuilt()
    model.compile(optimizer="sgd", loss="mse")

    with pytest.raises(ConfigError, match="has no weights .*yet. Call it once on a batch"):
        watched(callback, model)
