"""`kft run --max-time` ends in time, with all results."""

import json

import pytest
from click.testing import CliRunner
from shown import shown_lines
from tiny_runs import config

from kft.cli.main import main
from kft.engine.deadline import Deadline
from kft.errors import ConfigError
from kft.storage.run_files import CONFIG, METRICS, SCORES, STATE
from kft.workflows import run as runs
from kft.workflows.finish import finish_run
from kft.workflows.rerun import evaluate_run
from kft.workflows.run import run
from kft.workflows.time_limit import deadline_in


def limited(directory, max_time="1s", **settings):
    with shown_lines() as lines:
        result = run(config(directory / "run", exporters=[], **settings), max_time=max_time)
    return result, lines


def test_a_run_without_time_to_train_has_all_results_of_a_step(tmp_path):
    result, _ = limited(tmp_path)

    assert result.scores["ended_early"] == {
        "phase": "head",
        "epoch": 1,
        "by": "--max-time 1s",
        "without": ["tune"],
    }
    assert [phase["name"] for phase in result.scores["phases"]] == ["head"]
    assert len((result.directory / METRICS).read_text().splitlines()) == 1
    assert not (result.directory / STATE).exists()
    assert evaluate_run(result.directory).keys() == {"validation", "test"}
    with pytest.raises(ConfigError, match="is done"):
        finish_run(result.directory)


def test_a_run_with_time_is_as_without_a_limit(tmp_path):
    (tmp_path / "plain").mkdir()
    plain = run(config(tmp_path / "plain/run", exporters=[], refit=True, folds=2))

    result, _ = limited(tmp_path, "2h", refit=True, folds=2)

    assert result.scores["ended_early"] is None
    assert result.scores["test"] == plain.scores["test"]
    assert result.scores["folds"] == plain.scores["folds"]


def test_folds_and_refit_are_left_out_where_there_is_no_time(tmp_path):
    result, lines = limited(tmp_path, refit=True, folds=2)

    assert result.scores["ended_early"]["without"] == ["tune", "folds", "refit"]
    assert any(line.startswith("note: 1s leaves no time for the refit (about") for line in lines)
    assert result.scores["folds"] is None
    written = json.loads((result.directory / CONFIG).read_text())
    assert (written["refit"], written["folds"]) == (False, None)
    # The validation examples were not trained on.
    assert "validation" in evaluate_run(result.directory)


class Stepping(Deadline):
    """A deadline that comes in the `last` training, counted from 1: of the phases, folds, refit."""

    def __init__(self, last):
        self.now = 0.0
        super().__init__("1h", 3600, lambda: self.now)
        self.last = last

    def hold_back(self, seconds, megabytes):
        """Called as a phase begins, of which each training has two."""
        self.last -= 0.5
        self.now = 3600.0 if self.last <= 0 else 0.0


@pytest.mark.parametrize(
    ("last", "settings", "given_up"),
    [
        (2, {"refit": True}, "the refit"),
        (2, {"folds": 2}, "the folds"),
        (3, {"folds": 2, "refit": True}, "the folds"),
        (4, {"folds": 2, "refit": True}, "the refit"),
    ],
)
def test_what_is_not_trained_to_its_end_is_given_up(
    tmp_path, monkeypatch, last, settings, given_up
):
    (tmp_path / "plain").mkdir()
    plain = run(config(tmp_path / "plain/run", exporters=[], select="last"))
    monkeypatch.setattr(runs, "deadline_in", lambda _: Stepping(last))

    result, lines = limited(tmp_path, "1h", select="last", **settings)

    assert f"note: 1h was over before the end of {given_up}, which is given up" in lines
    assert result.scores["test"] == plain.scores["test"]
    assert result.scores["validation"] == plain.scores["validation"]
    assert result.scores["ended_early"]["by"] == "--max-time 1h"
    has_folds = given_up == "the refit" and "folds" in settings
    assert (result.scores["folds"] is not None) == has_folds


@pytest.mark.parametrize("max_time", ["2", "2 h", "h", "-1m", ""])
def test_what_is_no_time_is_refused(tmp_path, max_time):
    with pytest.raises(ConfigError, match="max_time: is .* no time. Give a time such as 90s"):
        deadline_in(max_time)
    assert deadline_in(None) is None


def test_the_command_says_where_training_ended(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(config(tmp_path / "run", exporters=[]).to_json())

    told = CliRunner().invoke(main, ["run", str(path), "--trust", "tiny", "--max-time", "1s"])

    assert told.exit_code == 0, told.stderr
    assert (
        "Training ended early, after epoch 1, in 'head', without tune: --max-time 1s."
        in told.stdout
    )
    assert (tmp_path / "run" / SCORES).is_file()
