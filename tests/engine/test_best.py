"""The best epochs are remembered with their weights, through a kill too."""

import json

import keras
import numpy as np
from tiny import same, values

from kft.engine.best import Best


def dense():
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])


def record(epoch, accuracy, loss):
    return {"epoch": epoch, "val_accuracy": accuracy, "val_loss": loss}


def test_the_best_epoch_has_the_highest_score_and_of_equals_the_lower_loss():
    best = Best(dense(), "accuracy")
    records = [record(1, 0.5, 1.0), record(2, 0.7, 0.9), record(3, 0.7, 0.8), record(4, 0.7, 0.8)]

    assert best.among(records)["epoch"] == 3


def test_a_loss_is_better_when_lower_and_never_when_it_is_no_number():
    best = Best(dense(), "loss")
    records = [record(1, 0.5, 1.0), record(2, 0.1, 0.9), record(3, 0.7, float("nan"))]

    assert best.among(records)["epoch"] == 2


def test_restoring_before_any_epoch_changes_nothing():
    model = dense()
    before = model.get_weights()

    Best(model, "loss").restore_best_weights()

    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_an_error_is_better_when_lower_and_never_when_it_is_no_number():
    best = Best(dense(), "mae")
    errors = ((1, 3.0), (2, 2.0), (3, float("nan")))
    records = [{"epoch": epoch, "val_mae": mae, "val_loss": 1.0} for epoch, mae in errors]

    assert best.among(records)["epoch"] == 2


def test_a_restored_best_has_the_epochs_and_weights_that_the_first_had():
    model = dense()
    first = Best(model, "loss")
    first.consider(record(1, 0.5, 1.0))
    weights = values(model.variables)
    first.begin_fine_tuning()
    model.set_weights([value + 1 for value in weights])
    first.consider(record(2, 0.5, 2.0))
    files = {name: arrays() for name, arrays in first.arrays().items()}

    second = Best(model, "loss")
    second.restore(json.loads(json.dumps(first.state())), files.__getitem__)

    assert (second.before.record, second.since.record) == (first.before.record, first.since.record)
    second.since.weights.restore()
    assert all(same(model.variables, [value + 1 for value in weights]))
    second.restore_best_weights()
    assert all(same(model.variables, weights))
    second.consider(record(3, 0.5, 1.5))
    assert (second.before.record["epoch"], second.since.record["epoch"]) == (1, 3)


def test_a_best_without_any_epoch_is_restored_as_such():
    first, second = Best(dense(), "loss"), Best(dense(), "loss")

    second.restore(json.loads(json.dumps(first.state())), dict.__getitem__)

    assert first.arrays() == {}
    assert second.overall is None
