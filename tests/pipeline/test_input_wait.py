import threading
import time

import pytest
import tensorflow as tf

from kft.pipeline.input_wait import InputWait


def test_a_batch_that_is_late_is_waited_for():
    asked = threading.Event()
    begun = []

    def late(number):
        begun.append(time.perf_counter())
        asked.wait(timeout=0.2)  # nobody sets it: the batch takes so long
        return number

    slow = tf.data.Dataset.range(2).map(lambda n: tf.numpy_function(late, [n], tf.int64))
    wait = InputWait()

    started = time.perf_counter()
    batches = [int(batch) for batch in wait.measured(slow)]
    passed = time.perf_counter() - started

    assert batches == [0, 1]
    assert 0.39 < wait.taken() <= passed
    assert wait.taken() == 0


def test_a_batch_that_is_there_is_not_waited_for():
    there = threading.Event()

    def noted(number):
        if number == 2:
            there.set()
        return number

    ready = tf.data.Dataset.range(3).map(lambda n: tf.numpy_function(noted, [n], tf.int64))
    wait = InputWait()
    batches = iter(wait.measured(ready.prefetch(2)))
    next(batches)
    there.wait()  # the other two have been made, or all but

    wait.taken()
    next(batches)

    assert wait.taken() == pytest.approx(0, abs=0.05)


def test_batches_of_several_parts_are_left_as_they_are():
    whole = tf.data.Dataset.from_tensor_slices(([1.0, 2.0], ["a", "b"]))

    parts = list(InputWait().measured(whole).as_numpy_iterator())

    assert parts == [(1.0, b"a"), (2.0, b"b")]
