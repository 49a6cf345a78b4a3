"""Two devices of one process, and two processes, give what one device gives."""

import functools

import hub_modules
import numpy as np
import pytest
import workers
from distributed import CASES, assert_equal, comparable, load, outcome
from two_devices import DEVICES

FAST = {"train", "strings"}
EACH = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory):
    """A working directory with a TF-Hub module in it, for workers too."""
    path = tmp_path_factory.mktemp("here")
    hub_modules.save_reusable(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        yield path


@functools.cache
def alone(name):
    phases, scores, weights = outcome(name, {"strategy": "none"})
    return comparable(phases), scores, weights


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_two_devices_give_the_history_the_weights_and_the_scores_of_one(name):
    devices = {"strategy": "mirrored", "devices": list(DEVICES)}

    phases, scores, weights = outcome(name, devices)

    assert_equal((comparable(phases), scores, weights), alone(name))


def accuracy(seed, distribute):
    """On validation, of a run with dropout."""
    _, scores, _ = outcome("dropout", distribute, seed=seed)
    return scores["validation"]["accuracy"]


@pytest.mark.slow
def test_with_dropout_the_scores_of_five_seeds_do_not_differ_beyond_their_spread():
    devices = {"strategy": "mirrored", "devices": list(DEVICES)}

    one, two = (
        [accuracy(seed, distribute) for seed in range(5)]
        for distribute in ({"strategy": "none"}, devices)
    )

    assert len({*one}) > 1
    assert abs(np.mean(one) - np.mean(two)) <= np.std(one, ddof=1)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """What two processes gave, which trained all cases one after another."""
    path = tmp_path_factory.mktemp("workers")
    processes = workers.start([workers.ROOT / "tests" / "distributed.py", path, *CASES])
    told = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told[0][-3000:]
    return path


@pytest.mark.slow
@EACH
def test_two_processes_give_them_too(name, two_workers):
    assert_equal(load(two_workers, name), alone(name))
