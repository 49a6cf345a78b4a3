"""A phase stops early or cuts its rate when its epochs get no better."""

import pytest
from tiny import phase, training

from kft.engine.train import train
from kft.phase import EarlyStopping
from kft.recipe.optimizer import Sgd
from kft.recipe.schedule import Plateau


def test_early_stopping_ends_a_phase_and_the_next_one_still_runs(task, splits):
    stuck = phase(
        "stuck",
        epochs=9,
        optimizer=Sgd(learning_rate=1e-9),
        early_stopping=EarlyStopping(patience=2, min_delta=0.01),
    )

    first, second = train(training(task, splits), [stuck, phase("next")])

    assert len(first.epochs) == 3
    assert [record["epoch"] for record in second.epochs] == [4, 5]


def test_a_plateau_cuts_the_rate_after_its_patience(task, splits):
    flat = phase(
        epochs=6,
        optimizer=Sgd(learning_rate=1e-9),
        schedule=Plateau(factor=0.1, patience=2),
        batch_size=22,
    )

    (result,) = train(training(task, splits, monitor="accuracy"), [flat])

    rates = [record["learning_rate"] for record in result.epochs]
    assert rates[:3] == pytest.approx([1e-9] * 3)
    assert rates[3:5] == pytest.approx([1e-10] * 2)
    assert rates[5] == pytest.approx(1e-11)
