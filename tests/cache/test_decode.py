from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tiny import Ramp, Words, spoilt, word_split

from kft.cache import inference as passes
from kft.cache.decode import decode_all, read
from kft.errors import DataError


@pytest.fixture
def splits():
    found = Ramp().load(0)
    return replace(found, train=spoilt(found.train, [3, 20]))


def test_examples_that_cannot_be_read_stop_the_run_by_name(splits):
    with pytest.raises(DataError, match=r"2 of the examples .*train/3 \(.*number.*train/20"):
        read(splits, "stop")


def test_the_reason_of_an_assertion_is_told_as_it_was_written(splits):
    def fetch(index):
        tf.raw_ops.Assert(condition=index > 0, data=["too many bits:", index])
        return tf.zeros(8)

    with pytest.raises(DataError, match=r"train/0 \(too many bits: 0\)"):
        read(replace(splits, train=replace(splits.train, fetch=fetch)), "stop")


def test_skipped_examples_are_left_out_with_their_labels_and_noted(splits):
    reading = read(splits, "skip")

    assert sorted(reading.bad) == ["train/20", "train/3"]
    assert reading.raw.train.size == 20
    kept = [number for number in range(22) if number not in (3, 20)]
    assert list(reading.raw.train.names) == [f"train/{number}" for number in kept]
    np.testing.assert_array_equal(reading.raw.train.labels, np.array(kept) % 3)
    for place, number in enumerate(kept):
        np.testing.assert_array_equal(
            reading.decoded.train.fetch(tf.constant(place)),
            splits.train.fetch(tf.constant(number)),
        )
    assert "left out 2 unreadable" in reading.decoded.notes[-1]


def test_nothing_is_trained_on_nothing(splits):
    none_left = replace(splits, train=spoilt(splits.train, list(range(22))))

    with pytest.raises(DataError, match="22 of the examples cannot be read.*and 12 more"):
        read(none_left, "skip")


def test_what_does_not_fit_in_memory_is_decoded_whenever_it_is_fetched(splits, monkeypatch):
    monkeypatch.setattr(passes, "memory_budget", lambda: 0)

    reading = read(splits, "skip")

    assert reading.decoded.train.size == 20
    np.testing.assert_array_equal(
        reading.decoded.train.fetch(tf.constant(3)), splits.train.fetch(tf.constant(4))
    )


def test_strings_are_read_though_they_have_no_fixed_size():
    found = decode_all(word_split(6), Words(), "Reading")

    assert not found.bad
    assert found.decoded.fetch(tf.constant(1)).numpy() == b"middle"


def test_examples_of_another_shape_than_their_input_says_are_bad():
    split = Ramp().load(0).train
    long = tf.constant([3, 20], tf.int64)

    def fetch(index):
        is_long = tf.reduce_any(long == tf.cast(index, tf.int64))
        return tf.repeat(split.fetch(index), tf.where(is_long, 2, 1), axis=0)

    bad = decode_all(replace(split, fetch=fetch), Ramp().input, "").bad

    assert {*bad} == {"train/3", "train/20"}
    assert "[16]" in bad["train/3"]
    assert "expected shape [8]" in bad["train/3"]
