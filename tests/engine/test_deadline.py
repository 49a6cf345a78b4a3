"""Training ends by a deadline, with time left for what comes after it."""

import keras
import pytest
from tiny import phase, training

from kft.engine.deadline import AROUND, PER_MEGABYTE, Deadline
from kft.engine.train import train


class Clock:
    """A clock that goes on by some seconds whenever it is read."""

    def __init__(self, step=0.0):
        self.now = 0.0
        self.step = step

    def __call__(self):
        self.now += self.step
        return self.now


def test_it_holds_back_what_the_end_takes():
    clock = Clock()
    deadline = Deadline("2m", 120, clock)

    deadline.hold_back(10, 100)
    deadline.hold_back(1, 0)

    assert deadline.reserve == AROUND + 10 + 100 * PER_MEGABYTE
    clock.now = 120 - deadline.reserve - 5
    assert deadline.leaves(4.9)
    assert not deadline.leaves(5)


@pytest.mark.parametrize("seconds", [0, AROUND])
def test_without_time_one_step_is_taken_and_validated(task, splits, seconds):
    deadline = Deadline("1s", seconds, Clock())
    context = training(task, splits, deadline=deadline)

    (result,) = train(context, [phase("head", epochs=5), phase("tune", epochs=5)])

    assert deadline.reached
    assert result.name == "head"
    assert [record["epoch"] for record in result.epochs] == [1]
    assert context.best.record is result.epochs[0]


def test_an_epoch_that_does_not_fit_is_cut_and_counts(task, splits):
    # The clock is read as the deadline is made, then after each call of steps and each epoch.
    deadline = Deadline("1h", 1000 + AROUND, Clock(100))

    (result,) = train(training(task, splits, deadline=deadline), [phase(epochs=50)])

    assert deadline.reached
    assert 1 <= len(result.epochs) < 50
    assert all("val_loss" in record for record in result.epochs)


def test_with_time_nothing_changes(task, splits):
    deadline = Deadline("2h", 7200)

    (result,) = train(training(task, splits, deadline=deadline), [phase(epochs=3)])

    assert not deadline.reached
    assert len(result.epochs) == 3


class AtTheEnd(keras.callbacks.Callback):
    """Puts a clock forward as an epoch ends."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def on_epoch_end(self, epoch, logs=None):
        self.clock.now = 1000.0


def test_a_phase_that_cannot_be_made_ready_in_time_is_left_out(task, splits):
    clock = Clock()
    deadline = Deadline("1h", 1000 + AROUND, clock)
    context = training(task, splits, deadline=deadline, callbacks=lambda: [AtTheEnd(clock)])

    (result,) = train(context, [phase("head", epochs=1), phase("tune", epochs=1)])

    assert result.name == "head"
    assert deadline.reached
