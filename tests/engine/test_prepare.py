import pytest
import tensorflow as tf
from tiny import training

from kft.engine.prepare import in_memory, smaller
from kft.errors import OutOfMemoryError
from kft.phase import Phase
from kft.recipe.optimizer import Adam
from kft.recipe.unfreeze import UnfreezeNone


@pytest.mark.parametrize(
    ("batch_size", "parts", "expected"),
    [(32, 1, (16, 2)), (6, 3, (3, 6)), (9, 1, (3, 3)), (2, 8, (1, 16)), (13, 1, (7, 2))],
)
def test_a_smaller_batch_makes_the_same_steps_where_it_divides(batch_size, parts, expected):
    assert smaller(batch_size, parts) == expected


def phase(**settings):
    return Phase(name="tune", epochs=1, optimizer=Adam(), unfreeze=UnfreezeNone(), **settings)


@pytest.mark.parametrize(
    ("settings", "message", "advised"),
    [
        (
            {},
            r"phases\[1\].batch_size: to train 'tune' on 4 examples of 8 at once .*Set it to 2 and "
            r"phases\[1\].accumulate_steps to 2, which takes steps of as many examples",
            ("phases.1.batch_size=2", "phases.1.accumulate_steps=2"),
        ),
        (
            {"batch_size": 6, "accumulate_steps": 2},
            "on 6 examples",
            ("phases.1.batch_size=3", "phases.1.accumulate_steps=4"),
        ),
        ({"batch_size": 1}, "on 1 example of 8 at once .*Unfreeze less", ()),
    ],
)
def test_a_phase_that_does_not_fit_is_told_with_sizes_that_take_less(
    task, splits, settings, message, advised
):
    with (
        pytest.raises(OutOfMemoryError, match=message) as raised,
        in_memory(training(task, splits), phase(**settings), 1),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    assert raised.value.settings == advised
