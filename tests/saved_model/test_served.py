"""A SavedModel that is asked in batches."""

import numpy as np
import pytest
import tensorflow as tf

from kft.errors import ConfigError, DataError
from kft.saved_model.served import Served


class Sizes(tf.Module):
    """Says how long a text is, that "bad" is none, and how often it was called and with what."""

    def __init__(self):
        super().__init__()
        self.sizes = tf.Variable(tf.zeros([0], tf.int32), shape=[None])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def measure(self, text):
        self.sizes.assign(tf.concat([self.sizes, [tf.shape(text)[0]]], 0))
        tf.debugging.Assert(tf.reduce_all(text != "bad"), ["this is bad"])
        length = tf.cast(tf.strings.length(text), tf.float32)
        return {"length": tf.where(length > 90.0, np.inf, length)}

    @tf.function(input_signature=[tf.TensorSpec([None, None, 2], tf.float32, name="rows")])
    def total(self, rows):
        return {"total": tf.reduce_sum(rows, axis=[1, 2])}

    @tf.function(input_signature=[tf.TensorSpec([1], tf.int64, name="number")])
    def twice(self, number):
        return {"twice": 2 * number}

    @tf.function(input_signature=[])
    def calls(self):
        return {"sizes": self.sizes.read_value()}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    model, path = Sizes(), tmp_path_factory.mktemp("served") / "model"
    signatures = {
        "serving_default": model.measure.get_concrete_function(),
        "total": model.total.get_concrete_function(),
        "twice": model.twice.get_concrete_function(),
        "calls": model.calls.get_concrete_function(),
    }
    tf.saved_model.save(model, str(path), signatures=signatures)
    return path


def sizes_of_calls(served):
    return served._loaded.signatures["calls"]()["sizes"].numpy().tolist()


def texts(*words):
    return [tf.constant(word) for word in words]


def test_a_batch_is_one_call(path):
    served = Served(path)

    answers = served.answers(texts("a", "bb", "ccc"))

    assert [answer["length"] for answer in answers] == [1, 2, 3]
    assert sizes_of_calls(served) == [3]


def test_what_is_damaged_alone_has_no_answer(path):
    served = Served(path)

    answers = served.answers(texts("a", "bad", "ccc", "dd", "bad"))

    assert answers[1] == answers[4] == "this is bad"
    assert [answers[number]["length"] for number in (0, 2, 3)] == [1, 3, 2]
    assert sizes_of_calls(served) == [5, 2, 1, 1, 3, 1, 2, 1, 1]


def test_an_answer_that_is_no_number_is_none(path):
    answers = Served(path).answers(texts("a", 91 * "b"))

    assert answers[0]["length"] == 1
    assert answers[1] == "the model's answer is no number"


def test_arrays_of_several_sizes_keep_their_places(path):
    served = Served(path)
    rows = [tf.ones((length, 2)) for length in (3, 1, 3)]

    answers = served.answers([*rows, tf.constant("four")])

    assert [answer["total"] for answer in answers[:3]] == [6, 2, 6]
    assert answers[3]["length"] == 4


def test_a_signature_that_takes_one_at_a_time_is_asked_so(path):
    answers = Served(path).answers([tf.constant(number, tf.int64) for number in (3, 4)])

    assert [answer["twice"] for answer in answers] == [6, 8]


def test_no_examples_have_no_answers(path):
    served = Served(path)

    assert served.answers([]) == []
    assert sizes_of_calls(served) == []


def test_an_array_that_no_signature_takes_is_refused(path):
    with pytest.raises(DataError, match=r"dtype float32 and shape \(3, 4\), which no signature"):
        Served(path).answers([tf.ones((3, 4))])


def test_what_tensorflow_cannot_load_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"TensorFlow cannot load it: .*Give a SavedModel"):
        Served(tmp_path)
