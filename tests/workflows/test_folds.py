"""Cross-validation answers every example by a model that was not trained on it."""

import csv
import json

import numpy as np
import pytest
from killing import Killed
from tiny import Ramp
from tiny_runs import PHASES, config

from kft.workflows.run import run

FOLDS = 3


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run(config(tmp_path_factory.mktemp("folds") / "run", folds=FOLDS))


def rows(directory):
    with (directory / "out_of_fold.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_have_mean_and_spread_over_the_folds(result):
    accuracy = result.scores["folds"]["accuracy"]

    assert len(accuracy["each"]) == FOLDS
    assert accuracy["mean"] == pytest.approx(np.mean(accuracy["each"]))
    assert accuracy["deviation"] == pytest.approx(np.std(accuracy["each"], ddof=1))
    assert "loss" in result.scores["folds"]


def test_every_training_and_validation_example_is_answered_once(result):
    splits = Ramp().load(0)
    names = [row["path"] for row in rows(result.directory)]

    assert names == [*splits.train.names, *splits.validation.names]


def test_the_answers_are_those_that_the_scores_are_of(result):
    told = rows(result.directory)
    right = np.mean([row["label"] == row["prediction"] for row in told])
    sizes = len(told) / FOLDS

    assert right == pytest.approx(result.scores["folds"]["accuracy"]["mean"], abs=1 / sizes)


def test_no_fold_has_seen_what_it_answers(result):
    """A fold that had trained on its examples would be as sure of them as training is."""
    for fold in range(FOLDS):
        lines = (result.directory / "folds" / str(fold) / "metrics.jsonl").read_text().splitlines()
        last = json.loads(lines[-1])
        answered = result.scores["folds"]["loss"]["each"][fold]
        assert answered == pytest.approx(last["val_loss"], abs=1e-4)


def test_the_run_itself_is_as_without_folds(result, tmp_path):
    alone = run(config(tmp_path / "run"))

    assert result.scores["test"] == alone.scores["test"]
    assert result.scores["validation"] == alone.scores["validation"]


def test_a_run_that_was_killed_between_folds_goes_on(result, tmp_path):
    """The run and three folds are four fits; it is killed as the last begins to fine-tune."""
    kill = {"kind": "killing:KillingSgd", "mark": str(tmp_path / "mark"), "fatal": 4}
    phases = [PHASES[0], {**PHASES[1], "optimizer": kill}]
    settings = config(tmp_path / "run", folds=FOLDS, phases=phases)
    with pytest.raises(Killed):
        run(settings)
    answered = sorted(path.parent.name for path in tmp_path.glob("run/folds/*/answers.npz"))
    assert answered == ["0", "1"]

    resumed = run(settings, resume=True)

    assert resumed.scores["folds"] == result.scores["folds"]
    assert rows(resumed.directory) == rows(result.directory)
