"""`kft finish` scores and exports the best so far of a run that was stopped."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from killing import Killed
from shown import shown_lines
from tiny_runs import PHASES, config

from kft.cli.main import main
from kft.errors import ConfigError
from kft.storage.run_files import BEST_WEIGHTS, CONFIG, METRICS, MODEL, SCORES, STATE
from kft.workflows.finish import finish_run
from kft.workflows.predict import predict
from kft.workflows.rerun import evaluate_run, export_run, open_run
from kft.workflows.run import run


def stopped(directory: Path, epoch: int, outright: bool = False, **settings) -> Path:
    """The directory of a run that was stopped as `epoch`, counted from 0, began."""
    stop = {
        "kind": "killing:StopAt",
        "epoch": epoch,
        "how": "Killed" if outright else "KeyboardInterrupt",
    }
    settings = {"exporters": [], "callbacks": [stop], **settings}
    with pytest.raises((Killed, KeyboardInterrupt)):
        run(config(directory / "run", **settings))
    return directory / "run"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same run, which nobody stopped."""
    return run(config(tmp_path_factory.mktemp("whole") / "run", exporters=[], select="best"))


@pytest.fixture(scope="module")
def in_head(tmp_path_factory):
    return stopped(tmp_path_factory.mktemp("head"), 2)


@pytest.fixture(scope="module")
def in_tuning(tmp_path_factory):
    return stopped(tmp_path_factory.mktemp("tuning"), 4)


@pytest.fixture
def copy(tmp_path):
    """Copies the directory of a run, so that it can be finished there."""

    def copied(directory):
        shutil.copytree(directory, tmp_path / "run")
        return tmp_path / "run"

    return copied


def dying_in_the_refit(directory):
    """Phases of a run that is killed as the refit begins: of three optimizers, two are before."""
    sgd = {"kind": "killing:KillingSgd", "mark": str(directory / "refit"), "fatal": 3}
    return [{**phase, "optimizer": sgd} for phase in PHASES]


def records(directory):
    return [json.loads(line) for line in (directory / METRICS).read_text().splitlines()]


def best_of(lines):
    return min(lines, key=lambda record: record["val_loss"])


def test_a_run_stopped_in_fine_tuning_ends_with_its_best_epoch(whole, in_tuning, copy):
    directory = copy(in_tuning)

    result = finish_run(directory)

    lines = records(directory)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert result.scores["selected"]["epoch"] == best_of(lines)["epoch"]
    assert result.scores["ended_early"] == {
        "phase": "tune",
        "epoch": 4,
        "by": "kft finish",
        "without": [],
    }
    assert [phase["name"] for phase in result.scores["phases"]] == ["head", "tune"]
    assert result.scores["phases"][0]["best"] == whole.scores["phases"][0]["best"]
    assert result.scores["phases"][1]["before"] == whole.scores["phases"][1]["before"]
    trained = [phase["trained_parameters"] for phase in result.scores["phases"]]
    assert trained == [phase["trained_parameters"] for phase in whole.scores["phases"]]
    loss = result.scores["validation"]["loss"]
    assert loss == pytest.approx(best_of(lines)["val_loss"], rel=1e-5)
    assert not (directory / STATE).exists()
    assert result.scores["gain"]["metric"] == whole.scores["gain"]["metric"]


def test_its_files_are_those_of_a_run_that_ended(in_tuning, copy):
    directory = copy(in_tuning)

    finish_run(directory)

    assert evaluate_run(directory)["validation"]["size"] > 0
    export_run(directory)
    example = np.zeros(open_run(directory)[1].input.spec.shape, "float32")
    answers = predict(directory, [example])
    assert len(answers) == 1
    assert (directory / "figures" / "learning_curves.png").is_file()


def test_a_run_stopped_in_the_head_has_no_gain_and_no_second_phase(in_head, copy):
    directory = copy(in_head)

    result = finish_run(directory)

    assert [phase["name"] for phase in result.scores["phases"]] == ["head"]
    assert result.scores["gain"] is None
    assert result.scores["ended_early"]["epoch"] == 2
    assert result.scores["ended_early"]["without"] == ["tune"]


def test_its_exporters_export(copy, tmp_path_factory):
    directory = copy(
        stopped(tmp_path_factory.mktemp("export"), 4, exporters=[{"kind": "saved_model"}])
    )

    result = finish_run(directory)

    assert [path.name for path in result.exports] == ["saved_model"]


def test_a_run_that_was_killed_outright_ends_with_the_best_of_its_last_state(tmp_path):
    directory = stopped(tmp_path, 4, outright=True)
    assert not (directory / BEST_WEIGHTS).exists()
    saved = json.loads((directory / STATE).read_text())

    with shown_lines() as lines:
        result = finish_run(directory)

    there = [saved["best"][name]["record"] for name in ("before", "since") if saved["best"][name]]
    assert result.scores["selected"]["epoch"] == best_of(there)["epoch"]
    lost = best_of(records(directory))["epoch"]
    is_lost = lost != result.scores["selected"]["epoch"]
    assert any(f"epoch {lost}, the best, were not on disk" in line for line in lines) == is_lost


def test_a_line_that_was_cut_off_is_removed(in_tuning, copy):
    directory = copy(in_tuning)
    whole = (directory / METRICS).read_text()
    (directory / METRICS).write_text(f'{whole}{{"phase": "tu')

    finish_run(directory)

    assert (directory / METRICS).read_text() == whole


def test_a_run_stopped_in_its_refit_ends_with_the_weights_before(tmp_path):
    settings = {"phases": dying_in_the_refit(tmp_path), "exporters": [], "select": "last"}
    with pytest.raises(Killed):
        run(config(tmp_path / "run", refit=True, **settings))

    result = finish_run(tmp_path / "run")

    assert result.scores["selected"]["epoch"] == 5
    assert result.scores["ended_early"]["without"] == ["refit"]
    last = records(tmp_path / "run")[-1]
    assert result.scores["validation"]["loss"] == pytest.approx(last["val_loss"], rel=1e-5)
    assert json.loads((tmp_path / "run" / CONFIG).read_text())["refit"] is False
    assert evaluate_run(tmp_path / "run").keys() == {"validation", "test"}


def test_a_finish_that_is_stopped_itself_forgets_nothing_that_was_asked_for(tmp_path):
    exporter = {"kind": "killing:WeightsFile", "file": "late", "mark": str(tmp_path / "export")}
    settings = {
        "phases": dying_in_the_refit(tmp_path),
        "exporters": [exporter],
        "refit": True,
    }
    with pytest.raises(Killed):
        run(config(tmp_path / "run", **settings))
    with pytest.raises(Killed):
        finish_run(tmp_path / "run")
    between = json.loads((tmp_path / "run" / CONFIG).read_text())

    result = finish_run(tmp_path / "run")

    assert between["refit"] is True
    assert result.scores["ended_early"]["without"] == ["refit"]
    assert json.loads((tmp_path / "run" / CONFIG).read_text())["refit"] is False


def test_a_run_without_an_epoch_says_how_to_go_on(in_head, copy):
    directory = copy(in_head)
    (directory / METRICS).unlink()
    for path in directory.glob("state*.json"):
        path.unlink()

    with pytest.raises(ConfigError, match=r"no epoch that ended.*kft run .*config\.json --resume"):
        finish_run(directory)


def test_a_run_stopped_in_its_first_epoch_is_gone(tmp_path):
    directory = stopped(tmp_path, 0)

    with pytest.raises(ConfigError, match=r"holds no run: it has no config\.json"):
        finish_run(directory)


def test_a_run_that_is_done_stays_as_it_is(whole):
    before = (whole.directory / SCORES).read_bytes()

    with pytest.raises(ConfigError, match="is done: there is nothing to finish"):
        finish_run(whole.directory)

    assert (whole.directory / SCORES).read_bytes() == before


def test_a_finished_run_has_nothing_to_finish_or_to_resume(in_head, copy):
    directory = copy(in_head)
    finish_run(directory)  # and gives the lock back, which both below take
    loaded = json.loads((directory / CONFIG).read_text())

    with pytest.raises(ConfigError, match="is done: there is nothing to finish"):
        finish_run(directory)
    with pytest.raises(ConfigError, match="is done: there is nothing to resume"):
        run(config(directory, **{**loaded, "output_dir": str(directory)}), resume=True)


def test_a_run_at_work_is_left_alone(in_head):
    script = (
        "import sys; from pathlib import Path; from kft.results.run_directory import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(in_head)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"locked\n"

        with pytest.raises(ConfigError, match="another process is working on"):
            finish_run(in_head)
        other.communicate(b"\n")


def test_a_model_that_has_changed_is_refused(in_head, copy):
    directory = copy(in_head)
    model = json.loads((directory / MODEL).read_text())
    (directory / "weights").write_text("now")
    model["files"]["backbone.path"] = {"": "0" * 64}
    model["paths"]["backbone.path"] = str(directory / "weights")
    (directory / MODEL).write_text(json.dumps(model))

    with pytest.raises(ConfigError, match="what the run began with has changed"):
        finish_run(directory)


def test_ctrl_c_in_a_terminal_names_both_ways_on(tmp_path):
    path = tmp_path / "config.json"
    settings = json.loads(config(tmp_path / "run", exporters=[]).to_json())
    settings["callbacks"] = [{"kind": "killing:StopAt", "epoch": 3, "how": "SIGINT"}]
    path.write_text(json.dumps(settings))

    told = subprocess.run(
        [
            sys.executable,
            "-m",
            "kft",
            "run",
            str(path),
            "--trust",
            "tiny",
            "--trust",
            "killing",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    finished = CliRunner().invoke(
        main, ["finish", str(tmp_path / "run"), "--trust", "tiny", "--trust", "killing"]
    )

    assert told.returncode == 130, told.stderr
    assert f"Go on with:  kft run {tmp_path / 'run' / CONFIG} --resume" in told.stderr
    assert f"Score and export the best so far:  kft finish {tmp_path / 'run'}" in told.stderr
    assert finished.exit_code == 0, finished.stderr
    assert (
        "Training ended early, after epoch 3, in 'head', without tune: kft finish."
        in finished.stdout
    )
