"""The refit goes on with all examples, and validation scores are those before it."""

import json

import pytest
from killing import Killed
from tiny_runs import PHASES, config

from kft.engine.selection import Selected
from kft.errors import ConfigError
from kft.recipe.unfreeze import UnfreezeGradual
from kft.workflows.refit import refit_phases
from kft.workflows.rerun import evaluate_run, export_run
from kft.workflows.run import run


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    return run(config(tmp_path_factory.mktemp("without") / "run", select="last"))


@pytest.fixture(scope="module")
def refitted(tmp_path_factory):
    return run(config(tmp_path_factory.mktemp("refitted") / "run", select="last", refit=True))


def test_validation_scores_are_those_of_the_weights_before(without, refitted):
    assert refitted.scores["validation"] == without.scores["validation"]
    assert refitted.scores["test"]["loss"] != without.scores["test"]["loss"]
    assert refitted.scores["selected"] == without.scores["selected"]


def test_it_trains_on_training_and_validation_examples(refitted):
    lines = (refitted.directory / "refit" / "metrics.jsonl").read_text().splitlines()

    assert [json.loads(line)["phase"] for line in lines] == ["refit-head"] * 3 + ["refit-tune"] * 2


def test_it_takes_the_epochs_up_to_the_selected_one(without):
    phases = config(without.directory).phases
    selected = keep_epoch_number(without, 4)

    assert [each.epochs for each in refit_phases(phases, without.phases, selected)] == [3, 1]
    selected = keep_epoch_number(without, 2)
    assert [each.name for each in refit_phases(phases, without.phases, selected)] == ["refit-head"]


def test_a_phase_that_unfreezes_gradually_has_the_epochs_that_it_needs(without):
    gradual = UnfreezeGradual(groups=2)
    head, tune = config(without.directory).phases
    phases = (head, tune.model_copy(update={"unfreeze": gradual}))
    selected = keep_epoch_number(without, 4)

    assert [each.epochs for each in refit_phases(phases, without.phases, selected)] == [3, 2]


def keep_epoch_number(result, number):
    """What is selected by the epoch of that number."""
    records = [record for phase in result.phases for record in phase.epochs]
    return Selected("best", "accuracy", records[number - 1], None)


def test_nothing_but_its_records_is_left(refitted):
    left = {path.name for path in (refitted.directory / "refit").rglob("*") if path.is_file()}

    assert {name for name in left if "tfevents" not in name} == {"metrics.jsonl"}


def test_evaluate_scores_only_what_was_not_trained_on(refitted):
    assert list(evaluate_run(refitted.directory)) == ["test"]


def test_an_export_answers_as_the_refitted_weights(refitted, tmp_path):
    _, difference = export_run(refitted.directory, to=tmp_path / "there")

    assert difference < 1e-5
    assert all(difference < 1e-5 for difference in refitted.exports.values())


def test_a_run_that_was_killed_in_the_refit_goes_on(refitted, tmp_path):
    kill = {"kind": "killing:KillingSgd", "mark": str(tmp_path / "mark"), "fatal": 2}
    phases = [PHASES[0], {**PHASES[1], "optimizer": kill}]
    settings = config(tmp_path / "run", select="last", refit=True, phases=phases)
    with pytest.raises(Killed):
        run(settings)
    assert (tmp_path / "run" / "refit").is_dir()

    resumed = run(settings, resume=True)

    for split in ("validation", "test"):
        assert resumed.scores[split] == refitted.scores[split]


def test_without_test_examples_there_is_nothing_left_to_score(tmp_path):
    data = {"kind": "tiny:Untested"}
    result = run(config(tmp_path / "run", data=data, refit=True))

    assert all(difference < 1e-5 for difference in result.exports.values())
    with pytest.raises(ConfigError, match="the refit trained on those of validation"):
        evaluate_run(result.directory)
