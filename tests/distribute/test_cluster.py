"""Two devices of one process, and two processes, give what one device gives."""

import functools
import json
import tempfile
from collections import defaultdict

import hub_modules
import noted
import numpy as np
import pytest
import tensorflow as tf
import workers
from distributed import CASES, RUNS, SEEDS, assert_equal, comparable, load, outcome
from tensorflow.python.framework import op_def_registry
from tiny import vector_split
from two_devices import DEVICES, mirrored

from kft.cache.inference import PASS_SIZE
from kft.distribute.cluster import gathered

FAST = {"train", "strings"}
MIRRORED = {"strategy": "mirrored", "devices": list(DEVICES)}


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory):
    """A working directory with a TF-Hub module in it, for workers too."""
    path = tmp_path_factory.mktemp("here")
    hub_modules.save_reusable(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        yield path


def with_own_cache(name, distribute):
    """What a case gives where no other has left features."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KFT_CACHE", tempfile.mkdtemp())
        phases, scores, weights = outcome(name, distribute)
    return comparable(phases), scores, weights


@functools.cache
def alone(name):
    return with_own_cache(name, {"strategy": "none"})


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_two_devices_give_the_history_the_weights_and_the_scores_of_one(name):
    assert_equal(with_own_cache(name, MIRRORED), alone(name))


def by_epoch(notes):
    """The examples that were augmented in each epoch, over all workers."""
    found = defaultdict(list)
    for note in notes:
        for epoch, example in note["examples"]:
            found[epoch].append(example)
    return [sorted(examples) for _, examples in sorted(found.items())]


def test_two_devices_use_every_example_once_in_an_epoch():
    noted.taken()

    with_own_cache("dropout 0", MIRRORED)

    assert by_epoch([noted.taken()]) == 3 * [list(range(22))]


def test_tensorflow_still_sends_no_short_numbers_to_other_processes():
    """Once it sends them (2.21 does not), `by_replica` need not cast what it gathers."""
    values = op_def_registry.get("CollectiveGatherV2").attr[0].allowed_values.list.type

    sent = {tf.as_dtype(number) for number in values}
    assert {tf.float32, tf.int64} <= sent
    assert not {tf.bool, tf.int8, tf.uint8, tf.int16, tf.bfloat16} & sent


@functools.cache
def accuracies():
    """On validation, of one device and a seed each, with dropout."""
    return [alone(name)[1]["validation"]["accuracy"] for name in SEEDS]


def assert_not_beyond_their_spread(scores):
    assert len({*accuracies()}) > 1
    assert abs(np.mean(accuracies()) - np.mean(scores)) <= np.std(accuracies(), ddof=1)


@pytest.mark.slow
def test_with_dropout_the_scores_of_five_seeds_do_not_differ_beyond_their_spread():
    found = [with_own_cache(name, MIRRORED) for name in SEEDS]

    assert_not_beyond_their_spread([scores["validation"]["accuracy"] for _, scores, _ in found])


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """What two processes gave, which did all runs one after another."""
    path = tmp_path_factory.mktemp("workers")
    program = workers.ROOT / "tests" / "distributed.py"
    processes = workers.start([program, path], KFT_CACHE=str(path / "cache"))
    outputs = [process.communicate(timeout=1800)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs[0][-3000:]
    return path


def notes_of(path, name):
    """What each worker noted of one run."""
    return [json.loads((path / f"noted{number}.json").read_text())[name] for number in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_them_too(name, two_workers):
    assert_equal(load(two_workers, name), alone(name))


@pytest.mark.slow
def test_two_processes_with_dropout_score_alike_too(two_workers):
    found = [load(two_workers, name) for name in SEEDS]

    assert_not_beyond_their_spread([scores["validation"]["accuracy"] for _, scores, _ in found])


@pytest.mark.slow
def test_two_processes_use_every_example_once_in_an_epoch(two_workers):
    notes = notes_of(two_workers, "dropout 0")

    assert all(len(note["examples"]) == 3 * 11 for note in notes)
    assert by_epoch(notes) == 3 * [list(range(22))]


@pytest.mark.slow
def test_two_processes_compute_half_of_the_features_each_and_find_them_in_the_next_run(
    two_workers,
):
    split = vector_split(RUNS["disk"]["data"]["sizes"][0])
    heads = {float(split.fetch(first)[0]) for first in range(0, split.size, PASS_SIZE)}

    first, second = (heads & {*note["batches"]} for note in notes_of(two_workers, "disk"))

    assert (len(first), len(second)) == (2, 2)
    assert first | second == heads
    for note in notes_of(two_workers, "disk again"):
        assert not heads & {*note["batches"]}
    assert_equal(load(two_workers, "disk again"), alone("disk"))


@pytest.mark.parametrize("at_once", [1, 2 * 2 * 3 * 4, 1 << 20])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float16"])
def test_what_devices_gather_is_the_same_in_pieces_of_any_size(at_once, dtype):
    rows = np.arange(2 * 7 * 3).reshape(2, 7, 3).astype(dtype)
    strategy = mirrored()
    value = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(rows[context.replica_id_in_sync_group])
    )

    with strategy.scope():
        each = gathered(value, at_once)

    assert [tensor.dtype.name for tensor in each] == [dtype] * 2
    np.testing.assert_array_equal(np.stack(each), rows)
