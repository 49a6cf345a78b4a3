import json

import pytest

from kft.engine.divergence import Diverged, DivergenceLimits


def limits(start, *good):
    """Limits in a run that began with the loss `start` and has seen the `good` epochs."""
    made = DivergenceLimits()
    made.begin({"val_loss": start})
    for number, (loss, val_loss) in enumerate(good, start=1):
        made.check(record(loss, val_loss, number))
    return made


def record(loss, val_loss, epoch=9):
    return {"epoch": epoch, "loss": loss, "val_loss": val_loss}


@pytest.mark.parametrize(
    ("start", "good", "loss", "val_loss"),
    [
        (2.4, [(0.5, 0.6)], 2.3, 2.5),
        (2.4, [(0.5, 0.6)], 1e9, 40.0),
        (2.4, [], 5.0, 5.0),
        (2.4, [(0.5, 0.6)], 0.4, float("nan")),
        (1.0, [(-3.0, -3.0)], 0.5, 0.5),
    ],
    ids=["back to chance", "explosion", "from the first epoch", "no number", "negative losses"],
)
def test_an_epoch_that_loses_what_training_gained_has_diverged(start, good, loss, val_loss):
    with pytest.raises(Diverged) as raised:
        limits(start, *good).check(record(loss, val_loss))

    assert (raised.value.epoch, raised.value.step) == (8, None)


@pytest.mark.parametrize(
    ("start", "good", "loss", "val_loss"),
    [
        (2.4, [(0.5, 0.6)], 0.01, 3.0),
        (2.4, [(0.1, 0.2)], 2.0, 0.2),
        (2.4, [(0.001, 0.002)], 0.02, 0.03),
        (2.4, [], 2.7, 2.6),
        (float("nan"), [], 2.7, float("nan")),
    ],
    ids=[
        "overfitting",
        "mixup begins",
        "noise of tiny losses",
        "no progress yet",
        "never a number",
    ],
)
def test_an_epoch_that_is_only_worse_has_not(start, good, loss, val_loss):
    limits(start, *good).check(record(loss, val_loss))


def test_the_start_is_that_of_the_run_and_not_of_a_later_phase():
    made = limits(2.4, (0.5, 0.6))

    made.begin({"val_loss": 0.6})

    with pytest.raises(Diverged, match=r"blew up to 1\.9, after 0\.5"):
        made.check(record(1.9, 1.9))
    made.check(record(1.2, 1.3))


def test_losses_of_before_are_no_measure_once_forgotten():
    made = limits(2.4, (0.5, 0.6))

    made.forget_lowest()

    made.check(record(1.9, 1.9))
    made.check(record(0.5, 0.6))
    with pytest.raises(Diverged):
        made.check(record(1.9, 1.9))


def test_losses_once_forgotten_may_still_not_explode():
    made = limits(2.4, (0.5, 0.6))

    made.forget_lowest()

    made.check(record(20.0, 30.0))
    made.forget_lowest()
    with pytest.raises(Diverged, match=r"blew up to 1e\+06, after 2\.4"):
        made.check(record(1e6, 25.0))


def test_restored_limits_are_those_that_were():
    made = limits(2.4, (0.5, 0.6))
    made.forget_lowest()
    restored = DivergenceLimits()

    restored.restore(json.loads(json.dumps(made.state())))

    restored.begin({"val_loss": 1e9})
    restored.check(record(1.9, 1.9))
    with pytest.raises(Diverged, match=r"blew up to 25, after 1\.9"):
        restored.check(record(25.0, 25.0))
