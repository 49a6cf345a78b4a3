"""A run that is killed goes on as if nothing had happened."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from killing import Killed
from tiny import Ramp, tiny_task, training, values

from kft.engine.class_weights import weigh
from kft.engine.run_state import RunState, find_state
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.recipe.optimizer import Adam, Sgd
from kft.recipe.schedule import Plateau
from kft.recipe.unfreeze import UnfreezeGradual, UnfreezeNone
from kft.storage.run_files import ARRAYS, METRICS

PHASES = (
    Phase(
        name="head",
        epochs=3,
        optimizer=Adam(learning_rate=0.05),
        unfreeze=UnfreezeNone(),
        schedule=Plateau(patience=1),
    ),
    Phase(
        name="tune",
        epochs=3,
        optimizer=Adam(learning_rate=0.01),
        unfreeze=UnfreezeGradual(groups=2, epochs_per_group=1),
        carry_optimizer=True,
        ema=0.9,
        l2_sp=0.01,
    ),
    Phase(
        name="again",
        epochs=2,
        optimizer=Sgd(learning_rate=0.01, momentum=0.9),
        unfreeze=UnfreezeNone(),
        swa_epochs=2,
    ),
)


class Kill(keras.callbacks.Callback):
    """Kills in the third step of an epoch, and spoils that epoch's weights once before if asked."""

    def __init__(self, epoch, spoilt=None):
        super().__init__()
        self.epoch = epoch
        self.spoilt = spoilt

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2 and self.now == self.spoilt:
            self.spoilt = None
            self.model.trainable_variables[0].assign_add(self.model.trainable_variables[0] * np.nan)
        elif batch == 2 and self.now == self.epoch:
            raise Killed


def trained(directory, phases, callback, found=None):
    """Trains a task that is made anew; returns results, weights, and what was best."""
    splits = Ramp().load(0)
    task = tiny_task(splits, Classifier(dropout=0.5))
    state = RunState(directory, found)
    how = training(task, splits, directory=directory, state=state, callbacks=lambda: [callback])
    results = train(how, phases)
    best = [epoch.weights.arrays() for epoch in (how.best.before, how.best.since) if epoch]
    how.best.restore_best_weights()
    return results, best, values(task.model.variables)


def untimed(results):
    """The results of phases, but for the time they took."""
    timed = ("seconds", "input_wait", "examples_per_second")
    return [
        [{key: record[key] for key in record if key not in timed} for record in result.epochs]
        + [result.before, result.rollbacks, result.features, result.best["epoch"]]
        for result in results
    ]


@pytest.fixture(autouse=True)
def every_epoch_saved(monkeypatch):
    """Epochs are so short here that few would be."""
    monkeypatch.setattr("kft.engine.callbacks.checkpoint.TRAINING_PER_SAVING", 0)


# Within a phase, where more stages join, and in the epoch that is averaged with the one before it.
@pytest.mark.parametrize("epochs", [(1, 4, 7), pytest.param(range(8), marks=pytest.mark.slow)])
def test_a_run_killed_again_and_again_ends_as_one_that_never_was(directory, epochs):
    (directory / "whole" / ARRAYS).mkdir(parents=True)
    expected = trained(directory / "whole", PHASES, Kill(None))

    for epoch in epochs:
        with pytest.raises(Killed):
            trained(directory, PHASES, Kill(epoch), find_state(directory))
        assert find_state(directory).state["epoch"] == epoch
        with (directory / METRICS).open("a") as file:
            file.write('{"phase": "hea')
    found = trained(directory, PHASES, Kill(None), find_state(directory))

    assert untimed(found[0]) == untimed(expected[0])
    for got, meant in zip((*found[1], found[2]), (*expected[1], expected[2]), strict=True):
        for a, b in zip(got, meant, strict=True):
            np.testing.assert_array_equal(a, b)
    lines = [json.loads(line) for line in (directory / METRICS).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 9))


def test_a_rate_that_was_halved_stays_so(directory):
    (directory / "whole" / ARRAYS).mkdir(parents=True)
    expected = trained(directory / "whole", PHASES[:1], Kill(None, spoilt=1))
    with pytest.raises(Killed):
        trained(directory, PHASES[:1], Kill(1, spoilt=1))

    found = trained(directory, PHASES[:1], Kill(None), find_state(directory))

    assert [rollback["epoch"] for rollback in found[0][0].rollbacks] == [2]
    assert untimed(found[0]) == untimed(expected[0])


class SpoilAtEnd(Kill):
    """Spoils the weights after the last step of the second epoch, which validation cannot see."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            kernel = self.model.trainable_variables[0]
            kernel.assign(kernel * -1000.0)


def test_a_state_that_the_first_loss_shows_to_be_spoilt_is_not_resumed_from(directory):
    (directory / "whole" / ARRAYS).mkdir(parents=True)
    expected = trained(directory / "whole", PHASES[:1], SpoilAtEnd(None))
    with pytest.raises(Killed):
        trained(directory, PHASES[:1], SpoilAtEnd(2))

    found = trained(directory, PHASES[:1], SpoilAtEnd(None), find_state(directory))

    assert [rollback["epoch"] for rollback in expected[0][0].rollbacks] == [3]
    assert untimed(found[0]) == untimed(expected[0])
    for got, meant in zip(found[2], expected[2], strict=True):
        np.testing.assert_array_equal(got, meant)


# Weights of examples and mixing raise the training loss alone, far beyond its limit.


def test_weights_of_examples_do_not_keep_a_state_from_being_saved(directory):
    splits = Ramp().load(0)
    task = tiny_task(splits, Classifier())
    heavy = dict.fromkeys(splits.target.names, 100.0)
    splits = replace(splits, train=weigh(splits.train, splits.target, heavy))
    state = RunState(directory, None)

    train(training(task, splits, directory=directory, state=state), PHASES[:1])

    assert find_state(directory) is not None


def test_mixing_does_not_keep_a_state_from_being_saved(directory):
    learned = PHASES[0].model_copy(update={"epochs": 12})
    mixing = Phase(
        name="mixing",
        epochs=2,
        optimizer=Sgd(learning_rate=0.01),
        unfreeze=UnfreezeNone(),
        mixup=1.0,
    )

    with pytest.raises(Killed):
        trained(directory, (learned, mixing), Kill(13))

    assert find_state(directory).state["epoch"] == 13
