"""Two devices of one process, and two processes, give what one device gives."""

import functools

import pytest
import workers
from distributed import CASES, assert_equal, comparable, load, outcome
from two_devices import DEVICES

FAST = {"train", "strings"}
EACH = pytest.mark.parametrize("name", CASES)


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
