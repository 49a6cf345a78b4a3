import numpy as np
import pytest
import tensorflow as tf

from kft.cache import inference as passes
from kft.cache import store
from kft.cache.place import place_for, row_dtype

ROW = np.dtype([("0", "f4", (250,))])  # 1 kB an example


@pytest.fixture
def room(monkeypatch):
    def give(memory, disk):
        monkeypatch.setattr(passes, "memory_budget", lambda: memory)
        monkeypatch.setattr(store, "room", lambda: disk)

    return give


@pytest.mark.parametrize(
    ("mode", "memory", "disk", "place"),
    [
        ("auto", 5000, 5000, (True, True)),
        ("auto", 4999, 5000, (False, True)),
        ("auto", 5000, 4999, (True, False)),
        ("auto", 4999, 4999, (False, False)),
        ("memory", 5000, 5000, (True, False)),
        ("memory", 4999, 5000, (False, False)),
        ("disk", 5000, 5000, (False, True)),
        ("disk", 5000, 4999, (True, False)),
        ("off", 5000, 5000, (False, False)),
    ],
)
def test_features_go_where_the_setting_and_the_room_allow(room, mode, memory, disk, place):
    room(memory, disk)

    found = place_for(mode, ROW, 5, True)

    assert (found.in_memory, found.on_disk) == place


@pytest.mark.parametrize(
    ("mode", "memory", "disk", "message"),
    [
        ("auto", 10**6, 10**6, "5.0 kB in memory, and on disk for the next run"),
        ("auto", 10, 10**6, "5.0 kB on disk"),
        ("auto", 10**6, 10, "5.0 kB in memory; the disk cannot keep them for the next run"),
        ("memory", 10**6, 0, "5.0 kB in memory"),
        ("off", 10**6, 10**6, "computed anew: cache is off"),
        (
            "auto",
            1000,
            2000,
            "computed anew: 5.0 kB are more than the 1.0 kB of memory that they may have and the "
            "2.0 kB of disk",
        ),
    ],
)
def test_a_message_says_where_they_go_and_why(room, mode, memory, disk, message):
    room(memory, disk)

    assert place_for(mode, ROW, 5, True).message == message


def test_rows_without_a_key_are_not_put_on_disk(room):
    room(10**6, 10**6)

    assert not place_for("disk", ROW, 5, False).on_disk


def test_features_of_unknown_size_are_computed_anew():
    strings = [tf.TensorSpec((), tf.string)]
    ragged = [tf.TensorSpec((None, 3), tf.float32)]

    assert row_dtype(strings, "float32") is None
    assert row_dtype(ragged, "float32") is None
    assert "not known beforehand" in place_for("auto", None, 5, True).message


def test_booleans_have_a_size():
    assert row_dtype([tf.TensorSpec((2,), tf.bool)], "float16").itemsize == 2


def test_only_long_floats_are_stored_as_short_ones():
    specs = [tf.TensorSpec((2,), dtype) for dtype in (tf.float32, tf.bfloat16, tf.int32)]

    row = row_dtype(specs, "float16")

    assert [row[name].base.name for name in row.names] == ["float16", "bfloat16", "int32"]
