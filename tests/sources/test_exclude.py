from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tiny import Ramp

from kft.errors import DataError
from kft.sources.exclude import drop_excluded, listed, load_splits


@pytest.fixture
def source(tmp_path):
    def excluding(text):
        (tmp_path / "list.txt").write_text(text, encoding="utf-8")
        return Ramp(exclude=str(tmp_path / "list.txt"))

    return excluding


def test_what_is_listed_is_left_out_and_the_rest_stays_where_it_was(source):
    data = source(listed({"train/3": "is a copy of train/4", "validation/0": "cannot be read"}))

    found, whole = load_splits(data, 0), Ramp().load(0)

    assert set(whole.train.names) - set(found.train.names) == {"train/3"}
    assert set(whole.validation.names) - set(found.validation.names) == {"validation/0"}
    np.testing.assert_array_equal(found.train.labels, np.delete(whole.train.labels, 3))
    assert found.notes[-1] == "2 examples are left out, as data.exclude says"


def test_names_that_the_data_does_not_have_are_a_note(source):
    found = load_splits(source("train/1\n\n# a comment\ngone.jpg\t# for a reason\n"), 0)

    assert found.train.size == 21
    assert found.notes[-1] == "data.exclude names 1 examples that the data does not have"


def test_a_name_is_left_out_in_either_unicode_form_but_as_itself_first(source):
    found = Ramp().load(0)
    names = ["K\u00e4fer", "Ka\u0308fer", "B\u00e4r", *found.train.names[3:]]
    splits = replace(found, train=replace(found.train, names=names))

    left = drop_excluded(splits, source("Ka\u0308fer\nBa\u0308r\n").exclude)

    assert left.train.names == ["K\u00e4fer", *names[3:]]
    assert left.notes == ("2 examples are left out, as data.exclude says",)


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (range(0, 22, 3), "leaves no example of 'low' to train on. Remove"),
        (range(22), "leaves no example in train"),
    ],
)
def test_a_list_that_leaves_nothing_to_learn_is_refused(source, names, fault):
    with pytest.raises(DataError, match=fault):
        load_splits(source("".join(f"train/{number}\n" for number in names)), 0)


def test_a_list_at_a_url_is_read():
    with tf.io.gfile.GFile("ram://exclude.txt", "w") as file:
        file.write("train/1\n")

    assert load_splits(Ramp(exclude="ram://exclude.txt"), 0).train.size == 21


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="data.exclude '.*gone.txt': cannot be read: No such file"):
        load_splits(Ramp(exclude=str(tmp_path / "gone.txt")), 0)
