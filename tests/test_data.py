"""The data contract."""

import numpy as np
import pytest
import tensorflow as tf

from kft.data import Split, Target
from kft.errors import DataError


@pytest.mark.parametrize("name", ["a\nb", "a\r", "a\u2028b", "a\x85b"])
def test_a_name_of_more_than_one_line_is_refused(name):
    with pytest.raises(DataError, match="the names of the target: hold .*more than one line"):
        Target("class", ("b", name))


def rows_split(first, size, **others):
    numbers = tf.constant([[float(number)] for number in range(first, first + size)])
    names = [str(number) for number in range(first, first + size)]
    labels = np.arange(first, first + size, dtype="int32") % 2
    return Split(names, labels, lambda index: tf.gather(numbers, index), **others)


def test_joined_splits_fetch_the_examples_of_both():
    joined = rows_split(0, 3).joined(rows_split(3, 2))

    fetched = [float(joined.fetch(tf.constant(index, tf.int64))[0]) for index in range(5)]
    assert fetched == [0, 1, 2, 3, 4]
    assert joined.names == ["0", "1", "2", "3", "4"]
    assert joined.labels.tolist() == [0, 1, 0, 1, 0]
    assert joined.take([4, 0]).names == ["4", "0"]


def test_joined_splits_count_1_where_one_has_no_weights():
    weighted = rows_split(0, 2, weights=np.array([2, 3], "float32"))

    assert weighted.joined(rows_split(2, 2)).weights.tolist() == [2, 3, 1, 1]
    assert rows_split(0, 2).joined(rows_split(2, 2)).weights is None


def test_joined_splits_have_what_both_have():
    grouped = rows_split(0, 2, groups=["a", "b"], files=["x", "y"])

    assert grouped.joined(grouped).groups == ["a", "b", "a", "b"]
    assert grouped.joined(rows_split(2, 2)).files is None
