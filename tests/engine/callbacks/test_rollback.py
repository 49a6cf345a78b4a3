"""Training that diverges goes back to the last good epoch, at half the rate."""

import io
import json
import re

import keras
import numpy as np
import pytest
from rich.console import Console
from tiny import Ramp, tiny_task, training, values

from kft.engine.callbacks.rollback import advice
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.progress import shown_on
from kft.recipe.optimizer import Adam
from kft.recipe.schedule import Cosine
from kft.recipe.unfreeze import UnfreezeNone


class Spoil(keras.callbacks.Callback):
    """Spoils the weights by a factor in the midst of an epoch, so many times."""

    def __init__(self, epoch, times, factor=np.nan):
        super().__init__()
        self.factor = factor
        self.spoilt = []
        self.begun = []
        self.left = times
        self.epoch = epoch

    def on_train_begin(self, logs=None):
        self.begun.append("training")

    def on_train_end(self, logs=None):
        self.begun.append("over")

    def on_epoch_begin(self, epoch, logs=None):
        self.begun.append(epoch)
        self.now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 3 and self.now == self.epoch and self.left:
            self.left -= 1
            kernel = self.model.trainable_variables[0]
            kernel.assign(kernel * self.factor)


def trained(spoil, how=None, **settings):
    """Trains the head for three epochs, with dropout and momentum."""
    splits = Ramp().load(0)
    task = tiny_task(splits, Classifier(dropout=0.5))
    defaults = {"epochs": 3, "optimizer": Adam(learning_rate=0.01), "unfreeze": UnfreezeNone()}
    phase = Phase(name="head", **{**defaults, **settings})
    how = how or {}
    (result,) = train(training(task, splits, callbacks=lambda: [spoil], **how), [phase])
    return result, values(task.head_model.variables)


def test_a_retried_epoch_begins_with_the_weights_slots_seeds_and_batches_it_had(tmp_path):
    """Had the rate not been halved, the result would be that of a run without a fault."""
    halved = {"optimizer": Adam(learning_rate=0.005)}
    spoil = Spoil(0, times=1)

    result, found = trained(spoil, {"directory": tmp_path})
    undisturbed, expected = trained(Spoil(0, times=0), **halved)

    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [record["loss"] for record in result.epochs] == [
        record["loss"] for record in undisturbed.epochs
    ]
    assert spoil.begun == ["training", 0, 0, 1, 2, "over"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["rollbacks"]) for line in lines] == [(1, 1), (2, 1), (3, 1)]


def test_a_later_epoch_goes_back_to_the_one_before_it_and_says_so():
    spoil = Spoil(2, times=2)
    output = io.StringIO()

    with shown_on(Console(file=output, width=200)):
        result, weights = trained(spoil)

    assert spoil.begun == ["training", 0, 1, 2, 2, 2, "over"]
    assert result.rollbacks == (
        {"epoch": 3, "problem": "the loss is nan", "rate_scale": 0.5},
        {"epoch": 3, "problem": "the loss is nan", "rate_scale": 0.25},
    )
    assert (
        "head, epoch 3: the loss is nan. Once more from its beginning, at half the learning rate "
        "(2 of 3)\n"
    ) in output.getvalue()
    rates = [record["learning_rate"] for record in result.epochs]
    assert rates == pytest.approx([0.01, 0.01, 0.0025])
    assert all(np.isfinite(weight).all() for weight in weights)


def test_a_loss_that_blows_up_takes_its_epoch_back_too_and_nobody_is_told_of_its_end(tmp_path):
    spoil = Spoil(2, times=1, factor=-1000.0)

    result, _ = trained(spoil, {"directory": tmp_path})

    (rollback,) = result.rollbacks
    assert (rollback["epoch"], rollback["rate_scale"]) == (3, 0.5)
    assert rollback["problem"].startswith("the loss blew up to ")
    assert [record["epoch"] for record in result.epochs] == [1, 2, 3]
    assert all(record["val_loss"] < 3 for record in result.epochs)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


class Unseen(keras.callbacks.Callback):
    """Spoils the weights after the last step of an epoch, and once validation has looked at them.

    As a step does that goes wrong while validation sees an average, or is overfitted anyway.
    """

    def on_train_begin(self, logs=None):
        self.left = 1

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1 and self.left:
            self.left -= 1
            kernel = self.model.trainable_variables[0]
            kernel.assign(kernel * -1000.0)


def test_a_copy_whose_first_loss_is_that_of_spoilt_weights_is_not_gone_back_to():
    output = io.StringIO()

    with shown_on(Console(file=output, width=200)):
        result, _ = trained(Unseen())

    (rollback,) = result.rollbacks
    assert rollback["epoch"] == 3
    assert "Once more from that of the epoch before, at half" in output.getvalue()
    assert result.epochs[2]["val_loss"] < result.before["val_loss"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"clip_norm": None}, ", or set its clip_norm to 1, or give its schedule a warm-up$"),
        ({}, "of the phase, or give its schedule a warm-up$"),
        ({"schedule": Cosine(warmup_epochs=1)}, "of the phase$"),
    ],
)
def test_a_person_is_told_what_is_not_done_yet(settings, expected):
    given_up = {"epochs": 1, "optimizer": Adam(), "unfreeze": UnfreezeNone(), **settings}

    assert re.search(expected, advice(Phase(name="head", **given_up)))
