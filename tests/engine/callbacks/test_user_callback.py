"""A user's callback in a run sees what it would see in a fit of the whole model."""

import csv

import keras
import numpy as np
import pytest
from tiny import Ramp, phase, training

from kft.engine.train import train
from kft.recipe.unfreeze import UnfreezeAll


class Hooks(keras.callbacks.Callback):
    """Notes each hook as it is called, with the model it sees."""

    def __init__(self, seen):
        super().__init__()
        for when in ("begin", "end"):
            for what in ("train", "epoch", "train_batch", "test", "test_batch"):
                setattr(self, f"on_{what}_{when}", self.noting(seen, f"{what} {when}"))

    def noting(self, seen, hook):
        def note(*arguments, **keywords):
            seen.append((hook, self.model.name, self.params["steps"]))

        return note


def test_it_gets_every_hook_of_training_and_validation_with_the_whole_model(task, splits):
    seen = []

    train(training(task, splits, callbacks=lambda: [Hooks(seen)]), [phase(epochs=1)])

    hooks = [hook for hook, _, _ in seen]
    steps = ["train_batch begin", "train_batch end"] * 6
    tests = ["test_batch begin", "test_batch end"] * 3
    assert hooks == [
        *("train begin", "epoch begin"),
        *steps,
        *("test begin", *tests, "test end"),
        *("epoch end", "train end"),
    ]
    assert {(model, steps) for _, model, steps in seen} == {("task", 6)}


class Scores(keras.callbacks.Callback):
    """Scores the model it sees by itself after each epoch."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def on_epoch_end(self, epoch, logs=None):
        split = Ramp().load(0).validation
        inputs = np.stack([split.fetch(index) for index in range(9)])
        scores = self.model.evaluate(inputs, np.eye(3)[split.labels], verbose=0, return_dict=True)
        self.found.append(scores["accuracy"] - logs["val_accuracy"])


def test_the_callbacks_of_keras_work_with_kept_features_and_without(task, splits, tmp_path):
    differences = []

    def callbacks():
        return [
            keras.callbacks.EarlyStopping("val_accuracy", patience=9, restore_best_weights=True),
            keras.callbacks.ModelCheckpoint(
                tmp_path / "{epoch}.keras", monitor="val_accuracy", save_freq="epoch"
            ),
            keras.callbacks.CSVLogger(tmp_path / "log.csv", append=True),
            keras.callbacks.TensorBoard(tmp_path / "board"),
            keras.callbacks.TerminateOnNaN(),
            Scores(differences),
        ]

    phases = [phase("head"), phase("tune", epochs=1, unfreeze=UnfreezeAll())]
    head, tune = train(training(task, splits, callbacks=callbacks), phases)

    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    inputs = np.ones((2, 8), "float32")
    last = keras.models.load_model(tmp_path / "3.keras", compile=False)
    assert head.features_kept
    assert not tune.features_kept
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [float(row["val_accuracy"]) for row in rows] == pytest.approx(
        [record["val_accuracy"] for record in (*head.epochs, *tune.epochs)]
    )
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == [
        f"{epoch}.keras" for epoch in (1, 2, 3)
    ]
    np.testing.assert_allclose(last(inputs), task.model(inputs), atol=1e-6)
    assert any((tmp_path / "board").rglob("*tfevents*"))
    assert differences == pytest.approx([0.0, 0.0, 0.0])


class Witness(keras.callbacks.Callback):
    """Writes down what a user's callback sees."""

    def __init__(self, seen, stop_at=None):
        super().__init__()
        self.seen = seen
        self.stop_at = stop_at

    def on_epoch_end(self, epoch, logs=None):
        rate = float(self.model.optimizer.learning_rate)
        self.seen.append((self.model.name, epoch, "val_accuracy" in logs, rate > 0))
        self.model.stop_training = epoch == self.stop_at


def test_a_users_callback_sees_the_whole_model_and_true_epochs(task, splits):
    seen = []
    phases = [phase("head"), phase("tune", epochs=1, unfreeze=UnfreezeAll())]

    train(training(task, splits, callbacks=lambda: [Witness(seen)]), phases)

    assert seen == [("task", 0, True, True), ("task", 1, True, True), ("task", 2, True, True)]


def test_a_users_callback_can_stop_a_phase_whose_features_are_kept(task, splits):
    how = training(task, splits, callbacks=lambda: [Witness([], stop_at=0)])

    (result,) = train(how, [phase(epochs=5)])

    assert result.features_kept
    assert len(result.epochs) == 1
