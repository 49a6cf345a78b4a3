from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import tensorflow as tf
from shown import shown_lines
from tiny import vector_split

from kft.cache import store
from kft.cache.cached_rows import CachedRows, RowCache, fetch_from_disk
from kft.cache.row_file import RowFile

pytestmark = pytest.mark.usefixtures("own_cache")

ROW = np.dtype([("number", "i4"), ("pair", "f4", (2,)), ("digest", "u1", (16,))])


@dataclass(frozen=True, eq=False)
class Squares(CachedRows):
    """The square of each number, in blocks of three; every other code gives another `power`."""

    power: int = 2
    changed: bool = False
    computed: list[int] = field(default_factory=list)

    def compute(self):
        self.computed.append(self.power)
        rows = np.zeros(self.size, self.row)
        rows["number"] = np.arange(1, self.size + 1) ** self.power
        rows["pair"] = rows["number"][:, None] / [2, 4]
        yield from np.split(rows, range(3, self.size, 3))

    def agrees(self, stored):
        return bool(stored.read(np.array([1]), "number")[0] == 2**self.power)

    def is_unchanged(self):
        return not self.changed


@pytest.fixture(params=[True, False], ids=["in memory", "on disk"])
def in_memory(request):
    return request.param


@pytest.fixture
def rows():
    return Squares(vector_split(7), ROW, "c" * 40, "Squaring", {"kind": "squares"})


def get(rows, in_memory, cache=None):
    """What a cache, by default that of another run, gives, and what it says."""
    with shown_lines() as lines:
        return (cache or RowCache()).get(rows, in_memory), lines


def numbers(cached):
    if isinstance(cached, RowFile):
        return cached.read(np.arange(cached.size), "number").tolist()
    return cached["number"].tolist()


SQUARES = [1, 4, 9, 16, 25, 36, 49]


def test_rows_are_computed_once_and_found_by_the_next_run(rows, in_memory):
    first, _ = get(rows, in_memory)
    again, lines = get(rows, in_memory)

    assert numbers(first) == numbers(again) == SQUARES
    assert isinstance(first, RowFile) == isinstance(again, RowFile) == (not in_memory)
    assert rows.computed == [2]
    assert lines == ["Squaring: found on disk, from an earlier run"]


def test_rows_without_a_key_are_in_memory_or_nowhere(rows):
    nameless = replace(rows, key=None)

    assert numbers(get(nameless, True)[0]) == SQUARES
    assert get(nameless, False) == (None, [])
    assert rows.computed == [2]
    assert store.entries() == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def test_a_damaged_file_is_computed_again(rows, in_memory):
    get(rows, in_memory)
    cut(store.path_of(rows.key))

    cached, lines = get(rows, in_memory)

    assert numbers(cached) == SQUARES
    assert rows.computed == [2, 2]
    assert lines[0].endswith(".npy cannot be used, since it is cut off: computing it again")
    assert get(rows, in_memory)[1] == ["Squaring: found on disk, from an earlier run"]


def test_rows_of_another_size_under_the_same_key_are_computed_again(rows, in_memory):
    get(replace(rows, split=vector_split(4)), in_memory)

    cached, lines = get(rows, in_memory)

    assert numbers(cached) == SQUARES
    assert "holds (4,) rows" in lines[0]


def test_rows_of_other_code_are_computed_again(rows, in_memory):
    get(rows, in_memory)

    cached, lines = get(replace(rows, power=3), in_memory)

    assert numbers(cached) == [1, 8, 27, 64, 125, 216, 343]
    assert "cannot be used, since the code now gives others" in lines[0]


def test_a_full_disk_is_tried_once_and_ends_no_run(rows, in_memory, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    cache = RowCache()

    first, lines = get(rows, in_memory, cache)
    others, silence = get(replace(rows, key="d" * 40), in_memory, cache)

    for cached in (first, others):
        assert cached is None if not in_memory else numbers(cached) == SQUARES
    assert len(lines) == 1
    assert lines[0].endswith(
        "features cannot be written to: No space left on device. The next run will not find it"
    )
    assert silence == []
    assert rows.computed == ([2, 2] if in_memory else [2])
    assert store.entries() == []


def test_rows_of_what_changed_meanwhile_are_not_left_on_disk(rows, in_memory):
    cached, _ = get(replace(rows, changed=True), in_memory)

    assert cached is None if not in_memory else numbers(cached) == SQUARES
    assert store.entries() == []


def test_what_goes_wrong_in_computing_is_not_taken_for_a_fault_of_the_disk(rows, in_memory):
    class Failing(Squares):
        def compute(self):
            yield np.zeros(3, ROW)
            raise ValueError("no such number")

    failing = Failing(rows.split, ROW, rows.key, "Squaring", {})

    with pytest.raises(ValueError, match="no such number"):
        get(failing, in_memory)
    assert not list(store.directory().glob("*"))


def test_metadata_describes_the_arrays_without_the_digests(rows):
    get(rows, True)

    metadata = store.entries()[0].metadata

    assert {**metadata, "made": "", "checksum": ""} == {
        "kind": "squares",
        "examples": 7,
        "first_example": "train/0",
        "shapes": [[], [2]],
        "dtypes": ["int32", "float32"],
        "made": "",
        "checksum": "",
    }


def test_rows_are_fetched_from_disk_one_by_one_and_many_at_once(rows):
    stored, _ = get(rows, False)
    fetch = fetch_from_disk(lambda index: [stored.read(index, "pair")], [ROW["pair"]])

    (one,), (many,) = fetch(tf.constant(2, tf.int64)), fetch(tf.constant([6, 0], tf.int64))
    batches = tf.data.Dataset.range(6).batch(3).map(lambda index: fetch(index)[0])

    np.testing.assert_array_equal(one, [4.5, 2.25])
    np.testing.assert_array_equal(many, [[24.5, 12.25], [0.5, 0.25]])
    assert batches.element_spec.shape == (None, 2)
    np.testing.assert_array_equal(next(iter(batches))[2], one)
