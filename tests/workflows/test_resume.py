"""`kft run --resume` goes on with a run that was killed."""

import fcntl
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from click.testing import CliRunner
from killing import Killed

from kft.cli.main import main
from kft.config.run_config import load_config
from kft.errors import ConfigError, TrainingError
from kft.results.resume import changed_in, stamps_of
from kft.storage.atomic import PARTIAL
from kft.storage.run_files import (
    CONFIG,
    ENVIRONMENT,
    LOCK,
    SKIPPED,
    SPLIT,
    STATE,
    STATE_BEFORE,
    TARGET,
)
from kft.workflows.run import run

PHASES = [
    {"name": "head", "epochs": 2, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "none"}},
    {"name": "tune", "epochs": 2, "optimizer": {"kind": "sgd"}, "unfreeze": {"kind": "all"}},
]


def settings(directory: Path, epoch: int, **others) -> dict:
    """A config whose run is killed once, at the end of `epoch`."""
    mark = directory.with_name(f"{directory.name}-killed")
    kill = {"kind": "killing:KillOnce", "epoch": epoch, "mark": str(mark)}
    return {
        "output_dir": str(directory),
        "data": {"kind": "tiny:Ramp"},
        "backbone": {"kind": "tiny:TinyDense"},
        "phases": PHASES,
        "exporters": [],
        "callbacks": [{**kill, **others}],
    }


def untimed(scores: dict) -> dict:
    """The content of ``scores.json`` without the time that phases took."""
    phases = [{**phase, "seconds": 0, "input_wait": 0} for phase in scores["phases"]]
    return json.loads(json.dumps({**scores, "phases": phases}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that is never killed, and has nothing to resume."""
    config = load_config(settings(tmp_path_factory.mktemp("whole") / "run", epoch=99))
    return run(config, resume=True)


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory):
    """The directory of a run that was killed at the end of its first epoch of fine-tuning."""
    config = load_config(settings(tmp_path_factory.mktemp("killed") / "run", epoch=2))
    with pytest.raises(Killed):
        run(config)
    return Path(config.output_dir)


@pytest.fixture
def killed(killed_once, tmp_path):
    """A copy of that directory, and its config."""
    shutil.copytree(killed_once.parent, tmp_path, dirs_exist_ok=True)
    told = json.loads((killed_once / "config.json").read_text())
    there = json.dumps(told).replace(str(killed_once.parent), str(tmp_path))
    (tmp_path / "run" / "config.json").write_text(there)
    return load_config(tmp_path / "run" / "config.json")


def test_a_killed_run_ends_as_if_it_had_not_been(killed, whole):
    result = run(killed, resume=True)

    assert untimed(result.scores) == untimed(whole.scores)
    assert len((result.directory / "metrics.jsonl").read_text().splitlines()) == 4
    assert not (result.directory / STATE).exists()
    names = {path.name for path in (result.directory / "checkpoints").iterdir()}
    assert names == {"best.weights.h5"}
    with pytest.raises(ConfigError, match="done: there is nothing to resume"):
        run(killed, resume=True)


@pytest.mark.parametrize("epoch", [2, 3])
def test_a_run_killed_about_a_phase_that_augments_ends_as_if_it_had_not_been(tmp_path, epoch):
    data = {"kind": "tiny:Ramp", "input": {"kind": "tiny:Varied"}}
    phases = [PHASES[0], {**PHASES[1], "augment": [{"kind": "tiny:Noise"}]}]
    others = {"data": data, "phases": phases, "select": "last"}
    whole = run(load_config({**settings(tmp_path / "whole", epoch=99), **others}))
    config = load_config({**settings(tmp_path / "run", epoch=epoch), **others})
    with pytest.raises(Killed):
        run(config)

    result = run(config, resume=True)

    assert untimed(result.scores) == untimed(whole.scores)
    resumed, expected = (each.directory / "predictions.csv" for each in (result, whole))
    assert resumed.read_bytes() == expected.read_bytes()


def test_a_run_that_was_killed_in_its_export_is_resumed_and_exports(tmp_path, whole):
    kill = {"kind": "killing:WeightsFile", "file": "second", "mark": str(tmp_path / "killed")}
    exporters = [{"kind": "killing:WeightsFile", "file": "first"}, kill]
    config = load_config({**settings(tmp_path / "run", epoch=99), "exporters": exporters})
    with pytest.raises(Killed):
        run(config, resume=True)
    there = tmp_path / "run" / "export"
    assert [path.name for path in there.iterdir()] == ["first.weights.h5"]
    (there / "first.weights.h5").write_text("of another model")

    result = run(config, resume=True)

    assert untimed(result.scores) == untimed(whole.scores)
    assert list(result.exports.values()) == [pytest.approx(0, abs=1e-6)] * 2
    assert {path.name for path in there.iterdir()} == {"first.weights.h5", "second.weights.h5"}
    assert not (result.directory / STATE).exists()


def test_where_nothing_is_a_run_begins(whole):
    assert [phase.name for phase in whole.phases] == ["head", "tune"]


def test_without_the_word_a_killed_run_is_not_overwritten(killed):
    with pytest.raises(ConfigError, match=r"is not an empty directory.*--resume"):
        run(killed)


def test_another_config_is_refused(killed):
    other = killed.model_copy(update={"seed": 7})

    with pytest.raises(ConfigError, match="holds a run whose config differs in seed"):
        run(other, resume=True)


def test_another_list_of_examples_is_refused_with_what_differs(killed):
    path = Path(killed.output_dir) / SPLIT
    rows = path.read_text()
    path.write_text(rows.replace("train/0,", "train/x,").replace("train/1,low", "train/1,high"))

    with pytest.raises(ConfigError, match="not what .*split.csv lists: train/x gone; train/0 new"):
        run(killed, resume=True)


def test_other_versions_are_refused(killed):
    path = Path(killed.output_dir) / ENVIRONMENT
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "keras": "3.0.0"}))
    with pytest.raises(ConfigError, match=r"was begun with keras 3.0.0, and here is "):
        run(killed, resume=True)


def test_other_content_under_the_same_names_is_refused(killed, monkeypatch):
    make = tiny.vector_split

    def other(size, seed, name):
        return replace(made := make(size, seed, name), fetch=lambda i: made.fetch(i) * 2.0)

    monkeypatch.setattr(tiny, "vector_split", other)

    with pytest.raises(ConfigError, match=r"content of 40 of 40 .*: train/0, .* and 37 more"):
        run(killed, resume=True)


def test_examples_changed_if_digest_and_file_have(tmp_path):
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_text("before")
    split = replace(tiny.vector_split(3, 0, "x"), digests=np.zeros((3, 16), "uint8"))
    split = replace(split, files=[str(file) for file in files])
    times = stamps_of(split)

    files[0].write_text("another")
    files[1].write_text("before, and decoded as it was")
    other = np.array([[1] * 16, [0] * 16, [1] * 16], "uint8")  # the last by another processor

    assert changed_in(replace(split, digests=other), split.digests, times) == ["x/0"]
    without = replace(split, digests=other, files=None)
    assert changed_in(without, split.digests, stamps_of(without)) == ["x/0", "x/2"]


@pytest.mark.parametrize("name", [ENVIRONMENT, SPLIT, TARGET])
@pytest.mark.parametrize("content", ["", "{", None])
def test_a_damaged_record_of_the_run_is_one_message(killed, name, content):
    path = Path(killed.output_dir) / name
    path.unlink() if content is None else path.write_text(content)

    with pytest.raises((TrainingError, ConfigError), match=rf"{name}.*with another output_dir"):
        run(killed, resume=True)


def test_a_damaged_config_is_one_message(killed):
    (Path(killed.output_dir) / CONFIG).write_text("{")

    with pytest.raises(TrainingError, match="config.json is cut off or changed"):
        run(killed, resume=True)


def test_what_a_run_began_with_is_not_written_again(killed):
    names = (CONFIG, ENVIRONMENT, SPLIT, TARGET)
    paths = [Path(killed.output_dir) / name for name in names]
    before = [path.stat() for path in paths]

    run(killed, resume=True)

    for path, then in zip(paths, before, strict=True):
        now = path.stat()
        assert (now.st_ino, now.st_mtime_ns) == (then.st_ino, then.st_mtime_ns)


def test_a_run_whose_state_is_gone_is_not_begun_anew_in_its_place(killed):
    directory = Path(killed.output_dir)
    metrics = (directory / "metrics.jsonl").read_text()
    for name in (STATE, STATE_BEFORE):
        (directory / name).unlink(missing_ok=True)

    with pytest.raises(TrainingError, match="its state is damaged: state.json is missing"):
        run(killed, resume=True)

    assert (directory / "metrics.jsonl").read_text() == metrics


def test_a_run_without_its_config_is_told_so(killed):
    (Path(killed.output_dir) / CONFIG).unlink()

    with pytest.raises(ConfigError, match="is not empty, but has no config.json"):
        run(killed, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_what_is_killed_as_it_writes_its_config_is_nothing(tmp_path, whole, resume):
    config = load_config(settings(tmp_path / "run", epoch=99))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / f"{PARTIAL}{CONFIG}").write_text("{")

    result = run(config, resume)

    assert untimed(result.scores) == untimed(whole.scores)
    assert not (tmp_path / "run" / f"{PARTIAL}{CONFIG}").exists()


def test_what_is_killed_before_it_trains_begins_anew_with_the_data_there_is_now(tmp_path, whole):
    config = load_config(settings(tmp_path / "run", epoch=99))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / CONFIG).write_text(config.to_json())
    (tmp_path / "run" / SPLIT).write_text("path,label,split,group\n")
    (tmp_path / "run" / SKIPPED).write_text("path,reason\n")

    result = run(config, resume=True)

    assert untimed(result.scores) == untimed(whole.scores)
    split = (result.directory / SPLIT).read_text()
    assert split == (whole.directory / SPLIT).read_text()
    assert not (result.directory / SKIPPED).exists()


def test_a_run_that_another_process_works_on_is_left_alone(killed):
    with (Path(killed.output_dir) / LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        with pytest.raises(ConfigError, match="another process is working on"):
            run(killed, resume=True)

    assert (run(killed, resume=True).directory / "scores.json").is_file()


def test_the_command_wants_to_know_which_run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"data": {}, "backbone": {}}))
    config = tmp_path / "config.json"
    told = {key: value for key, value in settings(tmp_path, 0).items() if key != "output_dir"}
    config.write_text(json.dumps({**told, "callbacks": []}))

    done = CliRunner().invoke(main, ["run", str(config), "--resume", "--trust", "tiny"])

    assert done.exit_code == 2
    assert "says no output_dir, so each run has a new one" in done.output


def die_before_replacement(monkeypatch, number):
    """Kills a run before it puts so many files in their place: it changes nothing from then on."""
    left = [None] * number

    def die_if_last(change, counts):
        def changed(*args, **options):
            if not left:
                raise Killed
            if counts:
                left.pop()
            return change(*args, **options)

        return changed

    monkeypatch.setattr(Path, "replace", die_if_last(Path.replace, counts=True))
    for owner, name in ((Path, "unlink"), (Path, "mkdir"), (shutil, "rmtree")):
        monkeypatch.setattr(owner, name, die_if_last(getattr(owner, name), counts=False))


@pytest.mark.slow
def test_a_run_killed_before_each_of_its_files_in_turn_ends_as_one_that_never_was(
    tmp_path, whole, monkeypatch
):
    monkeypatch.setattr("kft.engine.callbacks.checkpoint.TRAINING_PER_SAVING", 0)
    config = load_config(settings(tmp_path / "run", epoch=99))
    kills, result = 0, None

    while result is None:
        with monkeypatch.context() as patch:
            die_before_replacement(patch, kills)
            try:
                result = run(config, resume=True)
            except Killed:
                kills += 1

    assert kills > 10
    assert untimed(result.scores) == untimed(whole.scores)
    lines = (result.directory / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
    names = {path.name for path in (result.directory / "checkpoints").iterdir()}
    assert names == {"best.weights.h5"}


NO_DROPOUT = {"head": {"kind": "classifier", "dropout": 0.0}}


def kft(command: list[str], tmp_path: Path, **others) -> subprocess.CompletedProcess[str]:
    """Starts a command on a config whose process is killed once, in fine-tuning."""
    config = tmp_path / "config.json"
    told = {**settings(tmp_path / "run", 2, process=True), **others}
    config.write_text(json.dumps(told))
    trust = [word for name in ("tiny", "killing") for word in ("--trust", name)]
    words = [sys.executable, "-m", "kft", *command, str(config), "--resume", *trust]
    here = Path(__file__).parents[1]
    return subprocess.run(words, cwd=here, check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_a_process_that_was_killed_is_resumed_by_the_command(tmp_path, whole):
    assert kft(["run"], tmp_path).returncode == -signal.SIGKILL
    assert (tmp_path / "run" / STATE).is_file()

    done = kft(["run"], tmp_path)

    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert untimed(scores) == untimed(whole.scores)


@pytest.mark.slow
def test_workers_of_which_one_was_killed_are_resumed(tmp_path):
    """Whichever of the two is first at the end of the epoch is killed."""
    whole = run(load_config({**settings(tmp_path / "whole", 99), **NO_DROPOUT}))
    launch = ["launch", "--workers", "2"]
    assert kft(launch, tmp_path, **NO_DROPOUT).returncode != 0
    assert (tmp_path / "run" / STATE).is_file()

    done = kft(launch, tmp_path, **NO_DROPOUT)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    for split in ("validation", "test"):
        assert scores[split]["loss"] == pytest.approx(whole.scores[split]["loss"], abs=1e-4)
