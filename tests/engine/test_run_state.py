"""A run that is killed goes on as if nothing had happened."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tiny import Ramp, tiny_task, training, values

from kft.engine.run_state import RunState, find_state
from kft.engine.train import train
from kft.errors import TrainingError
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.progress import shown_on
from kft.recipe.optimizer import Adam, Sgd
from kft.recipe.schedule import Plateau
from kft.recipe.unfreeze import UnfreezeGradual, UnfreezeNone
from kft.storage.run_files import ARRAYS, BEST_WEIGHTS, METRICS, STATE

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


class Killed(BaseException):
    """Ends training in the midst of a step, as nothing that is caught does."""


class Kill(keras.callbacks.Callback):
    """Kills in the third step of an epoch, and spoils that epoch's weights once before if told."""

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
    best = [values(epoch.weights.variables) for epoch in (how.best.before, how.best.since) if epoch]
    how.best.restore_best_weights()
    return results, best, values(task.model.variables)


def told(results):
    """What phases tell, but for the time they took."""
    timed = ("seconds", "examples_per_second")
    return [
        [{key: record[key] for key in record if key not in timed} for record in result.epochs]
        + [result.before, result.rollbacks, result.features, result.best["epoch"]]
        for result in results
    ]


@pytest.fixture(autouse=True)
def every_epoch_saved(monkeypatch):
    """Epochs are so short here that few would be."""
    monkeypatch.setattr("kft.engine.callbacks.checkpoint.TRAINING_PER_SAVING", 0)


@pytest.fixture
def directory(tmp_path):
    (tmp_path / ARRAYS).mkdir()
    return tmp_path


# Within a phase, where more stages join, and in the epoch that is averaged with the one before it.
@pytest.mark.parametrize("epochs", [(1, 4, 7), pytest.param(range(8), marks=pytest.mark.slow)])
def test_a_run_killed_again_and_again_ends_as_one_that_never_was(directory, epochs):
    (directory / "whole" / ARRAYS).mkdir(parents=True)
    expected = trained(directory / "whole", PHASES, Kill(None))

    for epoch in epochs:
        with pytest.raises(Killed):
            trained(directory, PHASES, Kill(epoch), find_state(directory))
        assert find_state(directory).state["epoch"] == epoch
    found = trained(directory, PHASES, Kill(None), find_state(directory))

    assert told(found[0]) == told(expected[0])
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
    assert told(found[0]) == told(expected[0])


def test_a_state_is_whole_whenever_its_writer_is_killed(directory):
    state = RunState(directory)
    state.write({"phases": [], "epoch": 0}, {"a.npz": lambda: [np.zeros(2)]})

    def killed():
        raise Killed

    with pytest.raises(Killed):
        state.write({"phases": [], "epoch": 1}, {"a.npz": killed, "b.npz": killed})

    assert find_state(directory).state["epoch"] == 0
    np.testing.assert_array_equal(find_state(directory).arrays("a.npz")[0], np.zeros(2))


def written(directory, epochs):
    """States of so many epochs, each with a file of its own and one that all share."""
    state = RunState(directory)
    for epoch in range(epochs):
        own = {f"{epoch}.npz": lambda epoch=epoch: [np.full(2, epoch)]}
        state.write({"phases": [], "epoch": epoch}, {**own, "all.npz": lambda: [np.zeros(2)]})
    return state


def test_two_states_are_there_and_none_at_the_end(directory):
    state = written(directory, epochs=3)
    names = {path.name for path in (directory / ARRAYS).iterdir()}
    assert names == {"1.npz", "2.npz", "all.npz"}

    state.remove()

    assert {path.name for path in directory.iterdir()} == {ARRAYS}
    assert not list((directory / ARRAYS).iterdir())


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-40])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def emptied(path):
    path.write_bytes(b"")


def deleted(path):
    path.unlink()


DAMAGES = (cut_off, flipped, emptied, deleted)


@pytest.mark.parametrize("name", [STATE, f"{ARRAYS}/2.npz"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_named_and_the_one_before_it_taken(directory, damage, name):
    written(directory, epochs=3)
    damage(directory / name)

    lines = []
    with shown_on(SimpleNamespace(is_terminal=False, print=lambda line, **_: lines.append(line))):
        found = find_state(directory)

    assert found.state["epoch"] == 1
    np.testing.assert_array_equal(found.arrays("1.npz")[0], np.full(2, 1))
    assert re.search(rf"{STATE} .*; going on from the state before it, epoch 1", lines[0])
    assert name == STATE or f"{STATE} names {name}, which is" in lines[0]


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_no_state_is_whole_one_message_says_what_can_be_done(directory, damage):
    written(directory, epochs=3)
    damage(directory / ARRAYS / "all.npz")

    with pytest.raises(TrainingError, match=r"state-before.json names checkpoints/all.npz, which"):
        find_state(directory)

    (directory / BEST_WEIGHTS).touch()
    with pytest.raises(TrainingError, match=r"with another output_dir.*`kft predict "):
        find_state(directory)


def test_epochs_without_any_state_are_no_new_beginning(directory):
    assert find_state(directory) is None
    (directory / METRICS).touch()

    with pytest.raises(TrainingError, match=r"state.json is missing; state-before.json is missing"):
        find_state(directory)


def test_a_state_that_follows_a_damaged_one_writes_its_files_anew(directory):
    written(directory, epochs=3)
    cut_off(directory / ARRAYS / "2.npz")
    state = RunState(directory, find_state(directory))

    state.write({"phases": [], "epoch": 2}, {"2.npz": lambda: [np.full(2, 2)]})

    np.testing.assert_array_equal(find_state(directory).arrays("2.npz")[0], np.full(2, 2))


def test_there_is_a_whole_state_between_any_two_steps_of_a_writer(directory, monkeypatch):
    """The writer is killed before each of its steps on the disk in turn, and so is the next one."""
    written(directory, epochs=2)
    steps = kill_before_steps(monkeypatch)
    epochs = []

    for step in range(100):
        state = RunState(directory, find_state(directory))
        epochs.append(state.found.state["epoch"])
        steps[:] = range(step)
        try:
            epoch = epochs[-1] + 1
            state.write({"phases": [], "epoch": epoch}, {f"{epoch}.npz": lambda: [np.ones(2)]})
        except Killed:
            continue
        break

    assert step > 6
    assert epochs == sorted(epochs)
    assert find_state(directory).state["epoch"] == epochs[-1] + 1


def kill_before_steps(monkeypatch):
    """Kills at a change of the disk once the list that is returned is empty; each takes one."""
    left = [None] * 1000

    def counted(change):
        def step(path, *args, **options):
            if not left:
                raise Killed
            left.pop()
            return change(path, *args, **options)

        return step

    for name in ("replace", "unlink", "write_text"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    return left
