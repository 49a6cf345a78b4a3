"""The state of a run is complete on disk at any time, and a damaged one is named."""

import re
from pathlib import Path

import numpy as np
import pytest
from killing import Killed
from shown import shown_lines

from kft.engine.run_state import RunState, find_state
from kft.errors import TrainingError
from kft.storage.run_files import ARRAYS, BEST_WEIGHTS, METRICS, STATE


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

    with shown_lines() as lines:
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
