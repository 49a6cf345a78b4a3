import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from tiny import Vectors

from kft.cache import inference as passes
from kft.cache import store
from kft.cache.decode import decode_all
from kft.data import Split


class Numbers(Vectors):
    """Eight numbers in a file, as text."""

    unused_by_decode = ("claims_to_augment",)
    traced: ClassVar[int] = 0
    factor: float = 1.0

    def decode(self, raw):
        Numbers.traced += not tf.executing_eagerly()
        numbers = tf.strings.to_number(tf.strings.split(raw, ","))
        return self.factor * tf.ensure_shape(numbers, [8])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))
    Numbers.traced = 0


@pytest.fixture
def split(tmp_path):
    files = [str(tmp_path / f"{number}.txt") for number in range(70)]
    for number, file in enumerate(files):
        write(file, "spoilt" if number == 3 else ",".join([str(number)] * 8))
    paths = tf.constant(files)
    return Split(
        [f"{number}.txt" for number in range(70)],
        np.zeros(70, "int32"),
        lambda index: tf.io.read_file(tf.gather(paths, index)),
        files=files,
    )


def write(file, text):
    Path(file).write_text(text)


def read(split, cache="auto", **settings):
    """What a run reads, and in how many graphs decode."""
    Numbers.traced = 0
    found = decode_all(split, Numbers(**settings), "Reading", cache=cache)
    return found, Numbers.traced


def values(found):
    indices = tf.range(found.decoded.size, dtype=tf.int64)
    return found.decoded.fetch(indices).numpy()


@pytest.fixture(params=["memory", "disk"])
def room(request, monkeypatch):
    if request.param == "disk":
        monkeypatch.setattr(passes, "memory_budget", lambda: 0)


def test_a_second_run_decodes_nothing_again_and_knows_what_is_bad(split, room):
    first, decoded = read(split)
    second, again = read(split, claims_to_augment=True)

    assert (decoded, again) == (1, 0)
    assert list(first.bad) == list(second.bad) == ["3.txt"]
    assert first.bad == second.bad
    expected = np.array([[number] * 8 for number in range(70) if number != 3], "float32")
    for found in (first, second):
        assert found.decoded.fetches_many
        np.testing.assert_array_equal(values(found), expected)
        np.testing.assert_array_equal(found.decoded.fetch(tf.constant(3, tf.int64)), expected[3])
    np.testing.assert_array_equal(first.decoded.digests, second.decoded.digests)


@pytest.mark.parametrize("change", ["time", "content", "gone", "setting", "order", "decoder"])
def test_what_changed_is_decoded_again(split, change, monkeypatch):
    read(split)
    settings = {"factor": 2.0} if change == "setting" else {}
    if change == "time":
        os.utime(split.files[5], ns=(1, 1))
    elif change == "content":
        write(split.files[5], "1,2,3,4,5,6,7,800")
    elif change == "gone":
        Path(split.files[5]).unlink()
    elif change == "order":
        split = split.take([1, 0])
    elif change == "decoder":
        monkeypatch.setattr(Numbers, "decode_version", 2)

    found, decoded = read(split, **settings)

    assert decoded == 1
    assert ("5.txt" in found.bad) == (change == "gone")


def test_a_copy_of_an_input_whose_code_has_changed_is_of_no_use(split, monkeypatch):
    read(split)
    monkeypatch.setattr(Numbers, "decode", lambda self, raw: tf.fill([8], 7.0))

    found, _ = read(split)

    assert values(found).max() == 7


def test_what_could_not_be_read_is_tried_again(split, room, monkeypatch):
    first, _ = read(split)
    decode = Numbers.decode

    def with_what_was_installed_since(self, raw):
        return decode(self, tf.where(raw == "spoilt", "3,3,3,3,3,3,3,3", raw))

    monkeypatch.setattr(Numbers, "decode", with_what_was_installed_since)
    second, _ = read(split)

    assert (list(first.bad), list(second.bad)) == (["3.txt"], [])
    assert values(second)[3].tolist() == [3.0] * 8


def test_an_example_that_is_now_converted_to_another_makes_the_copy_useless(split, monkeypatch):
    monkeypatch.setattr(Numbers, "converted_endings", ("7.txt",))
    read(split)
    decode = Numbers.decode

    def converted_otherwise(self, raw):
        return decode(self, tf.where(raw == "7,7,7,7,7,7,7,7", "8,8,8,8,8,8,8,8", raw))

    monkeypatch.setattr(Numbers, "decode", converted_otherwise)
    found, _ = read(split)

    assert values(found)[6].tolist() == [8.0] * 8  # the fourth is left out


def test_a_damaged_copy_is_replaced(split, room):
    before = values(read(split)[0])
    (entry,) = store.entries()
    entry.path.write_bytes(entry.path.read_bytes()[:-30])

    found, decoded = read(split)

    assert decoded == 1
    np.testing.assert_array_equal(values(found), before)
    assert read(split)[1] == 0


@pytest.mark.parametrize("cache", ["off", "memory"])
def test_nothing_is_written_without_a_wish_for_it(split, cache):
    read(split, cache)

    assert store.entries() == []


def test_a_disk_that_cannot_be_written_to_ends_no_run(split, room, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write", full)

    found, _ = read(split)

    assert found.decoded.size == 69
    assert found.decoded.fetch(tf.constant(3, tf.int64)).numpy().tolist() == [4.0] * 8


def test_a_copy_in_use_can_be_removed(split):
    found, _ = read(split, "disk")

    store.clear()

    assert values(found)[-1].tolist() == [69.0] * 8


def test_examples_without_files_of_their_own_are_not_written(split):
    read(replace(split, files=None))

    assert store.entries() == []


def test_what_another_run_removes_at_that_moment_is_read_all_the_same(split, room, monkeypatch):
    first, _ = read(split)

    monkeypatch.setattr(store.os, "utime", os.unlink)  # the last that opening does to a file
    again, decoded = read(split)

    assert not decoded
    np.testing.assert_array_equal(values(again), values(first))
    assert store.entries() == []


class Touching(Numbers):
    """Writes to a file while it decodes."""

    path: str

    def decode(self, raw):
        def touch(raw):
            os.utime(self.path, ns=(1, 1))
            return raw

        return super().decode(tf.ensure_shape(tf.numpy_function(touch, [raw], tf.string), []))


def test_what_changes_while_it_is_read_is_not_cached_under_what_it_was(split, room):
    found = decode_all(split, Touching(path=split.files[5]), "Reading", cache="auto")

    assert found.decoded.size == 69
    assert values_one_by_one(found) == [number for number in range(70) if number != 3]
    assert store.entries() == []


def values_one_by_one(found):
    size = found.decoded.size
    return [int(found.decoded.fetch(tf.constant(index, tf.int64))[0]) for index in range(size)]


def test_code_that_can_no_longer_decode_the_first_example_is_of_no_use(split, monkeypatch):
    read(split)
    monkeypatch.setattr(Numbers, "decode", lambda self, raw: tf.io.decode_raw(raw, "float32")[:8])

    found, _ = read(split)

    assert found.bad.keys() >= {"0.txt"}
