"""A run whose memory runs out keeps its best weights, and goes on with smaller batches."""

import json
import shlex
from types import SimpleNamespace

import psutil
import pytest
import tensorflow as tf
from killing import HungryBackbone
from shown import shown_lines
from tiny import Ramp, Vectors
from tiny_runs import config

from kft.cache.decode import read
from kft.config.run_config import load_config
from kft.errors import ConfigError, TrainingError
from kft.storage.run_files import BEST_WEIGHTS, CONFIG, METRICS, SCORES, STATE
from kft.workflows.rerun import evaluate_run, open_run
from kft.workflows.run import run

TUNE = {"optimizer": {"kind": "sgd"}, "schedule": {"kind": "cosine"}, "unfreeze": {"kind": "all"}}
PHASES = [
    {"name": "head", "epochs": 2, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "none"}},
    {"name": "tune", "epochs": 4, **TUNE},
]
HEAD = {"kind": "classifier", "dropout": 0.0}


def hungry(directory, epoch, **settings):
    """A config of a run whose memory runs out once, in `epoch` counted from 0."""
    mark = str(directory.with_name(f"{directory.name}-failed"))
    callback = {"kind": "killing:ResourceExhaustedOnce", "epoch": epoch, "mark": mark}
    others = {"phases": PHASES, "head": HEAD, "exporters": [], "select": "last", **settings}
    return config(directory, callbacks=[callback], **others)


def fails(settings, match="OOM when allocating"):
    with shown_lines() as lines, pytest.raises(TrainingError, match=match):
        run(settings)
    return lines


def records_of(directory):
    return [json.loads(line) for line in (directory / METRICS).read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(hungry(tmp_path_factory.mktemp("whole") / "run", epoch=99))


def test_the_best_weights_are_kept_and_the_run_goes_on_as_it_is_told_to(tmp_path, whole):
    lines = fails(
        hungry(tmp_path / "run", epoch=3),
        r"phases\[1\].batch_size: .* on 4 examples .*Set it to 2 and phases\[1\].accumulate_steps",
    )
    command = next(line for line in lines if line.startswith("Go on with:"))
    words = shlex.split(command.partition("kft run")[2])
    overrides = [word for word in words[1:] if "=" in word]

    assert words[:2] == [str(tmp_path / "run" / CONFIG), "--resume"]
    assert overrides == ["phases.1.batch_size=2", "phases.1.accumulate_steps=2"]
    assert (tmp_path / "run" / BEST_WEIGHTS).is_file()
    open_run(tmp_path / "run")
    result = run(load_config(words[0], overrides), resume=True)
    assert json.loads((result.directory / CONFIG).read_text())["phases"][1]["batch_size"] == 2
    for was, now in zip(records_of(whole.directory), records_of(result.directory), strict=True):
        assert now["learning_rate"] == pytest.approx(was["learning_rate"])
        assert now["val_loss"] == pytest.approx(was["val_loss"], abs=1e-5)


def test_what_is_kept_are_the_weights_of_the_best_epoch(tmp_path):
    lines = fails(hungry(tmp_path / "run", epoch=3, monitor="loss"))

    epoch = int(next(line for line in lines if line.startswith("The weights of epoch")).split()[4])
    losses = [each["val_loss"] for each in records_of(tmp_path / "run")]
    assert losses[epoch - 1] == min(losses)
    scores = evaluate_run(tmp_path / "run")
    assert scores["validation"]["loss"] == pytest.approx(min(losses), abs=1e-6)


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.batch_size=8"],
        ["data.batch_size=2"],
        ["phases.1.accumulate_steps=3", "phases.0.batch_size=2"],
    ],
)
def test_steps_of_another_size_go_on_with_the_schedule_where_it_was(tmp_path, overrides):
    fails(hungry(tmp_path / "run", epoch=4))
    other = load_config(tmp_path / "run" / CONFIG, [*overrides, f"output_dir={tmp_path / 'other'}"])

    result = run(load_config(tmp_path / "run" / CONFIG, overrides), resume=True)

    expected = records_of(run(other).directory)[4:]
    found = records_of(result.directory)[4:]
    assert [each["learning_rate"] for each in found] == pytest.approx(
        [each["learning_rate"] for each in expected], rel=1e-4
    )
    assert (result.directory / SCORES).is_file()


def test_a_run_that_is_killed_again_after_other_sizes_goes_on_with_these(tmp_path, whole):
    fails(hungry(tmp_path / "run", epoch=3))
    (tmp_path / "run-failed").unlink()
    smaller = load_config(tmp_path / "run" / CONFIG, ["data.batch_size=8"])
    with pytest.raises(TrainingError, match="on 8 examples"):
        run(smaller, resume=True)

    result = run(load_config(tmp_path / "run" / CONFIG), resume=True)

    other = load_config(tmp_path / "run" / CONFIG, [f"output_dir={tmp_path / 'other'}"])
    assert other.data.batch_size == 8
    rates = [
        [each["learning_rate"] for each in records_of(directory)[4:]]
        for directory in (result.directory, run(other).directory)
    ]
    assert rates[0] == pytest.approx(rates[1], rel=1e-4)


def test_a_default_recipe_goes_on_with_smaller_batches_of_a_phase(tmp_path):
    data = {"kind": "tiny:Ramp", "batch_size": 16}
    named = hungry(tmp_path / "run", 12, data=data, effort="quick", refit=False)
    lines = fails(named.model_copy(update={"phases": ()}))
    words = shlex.split(next(line for line in lines if "Go on" in line).partition("kft run")[2])

    result = run(load_config(words[0], [word for word in words[1:] if "=" in word]), resume=True)

    assert result.phases[-1].name == "finetune"
    assert not (result.directory / STATE).exists()


def test_a_run_that_fails_in_its_first_epoch_is_left_to_go_on(tmp_path):
    lines = fails(hungry(tmp_path / "run", epoch=0))

    result = run(load_config(tmp_path / "run" / CONFIG, ["phases.0.batch_size=2"]), resume=True)

    assert any("phases.0.accumulate_steps=2" in line for line in lines)
    assert len(records_of(result.directory)) == 6


def test_another_setting_of_the_data_or_a_phase_is_still_refused(tmp_path):
    fails(hungry(tmp_path / "run", epoch=3))

    for override in ("phases.1.epochs=9", "data.sizes=[20,9,9]"):
        with pytest.raises(ConfigError, match=f"differs in {override.split('.')[0]}"):
            run(load_config(tmp_path / "run" / CONFIG, [override]), resume=True)


def test_a_pass_that_does_not_fit_is_told(tmp_path):
    with pytest.raises(
        TrainingError, match="Computing the features of .*: a pass over 64 examples at once takes"
    ):
        run(config(tmp_path / "run", backbone=HungryBackbone()))

    assert not (tmp_path / "run").exists()


class Endless(Vectors):
    """Claims examples of nearly 2 GiB."""

    @property
    def spec(self):
        return tf.TensorSpec((2**29 - 100,), tf.float32)


def test_examples_that_do_not_fit_into_memory_are_told_with_the_setting(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**62))
    splits = Ramp(input=Endless(), sizes=(70_000, 9, 9)).load(0)

    with pytest.raises(TrainingError, match="cache: Reading .*: to keep .* Unable to .*'disk'"):
        read(splits, "stop", "memory")
