"""A modality of one's own, from a table of texts to an export, with a vocabulary for an asset."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pytest
import tensorflow as tf
from killing import Killed
from rich.console import Console
from text_kinds import WORDS, write_texts

from kft.backbones.kft_run import KftRun
from kft.cli.show import check_summary
from kft.cli.show_plan import plan_summary
from kft.config.run_config import load_config
from kft.errors import BackboneError, ConfigError
from kft.storage.run_files import ASSETS, CONFIG, MODEL, SAVED_MODEL
from kft.workflows.check import check
from kft.workflows.plan import plan
from kft.workflows.predict import predict
from kft.workflows.rerun import evaluate_run, export_run, open_run
from kft.workflows.run import run

COPY = f"{ASSETS}/data.input.vocabulary/words.txt"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a finished run, whose vocabulary was deleted since."""
    folder = tmp_path_factory.mktemp("texts")
    result = run(load_config(write_texts(folder)))
    assert result.scores["test"]["accuracy"] == 1
    (folder / "words.txt").unlink()
    return folder


@pytest.fixture
def moved(trained, tmp_path):
    """A copy of that run in another place."""
    shutil.copytree(trained / "run", tmp_path / "moved")
    return tmp_path / "moved"


def test_a_run_on_texts_is_opened_without_the_vocabulary_it_began_with(trained, moved):
    scores = json.loads((moved / "scores.json").read_text())

    config, task = open_run(moved)
    again = evaluate_run(moved)
    other = evaluate_run(moved, trained / "texts.csv")
    shutil.rmtree(moved / "export")
    _, difference = export_run(moved)

    assert (moved / COPY).read_text() == "\n".join(WORDS)
    assert task.input.vocabulary == config.data.input.vocabulary == str(moved / COPY)
    assert again["test"]["accuracy"] == scores["test"]["accuracy"]
    assert other["data"]["size"] == 48
    assert difference < 1e-5
    (answer,) = predict(moved, [tf.constant("is it warm").numpy()])
    assert answer.answer["classes"][0] == b"1"


def test_names_of_texts_are_in_the_files_of_the_run(moved):
    rows = (moved / "split.csv").read_text().splitlines()
    scored = (moved / "predictions.csv").read_text().splitlines()

    names = {row.split(",")[0] for row in rows[1:]}
    assert len(names) == 48
    assert {len(name) for name in names} == {16}
    assert {row.split(",")[0] for row in scored[1:]} < names


def test_a_served_model_needs_neither(trained):
    served = tf.saved_model.load(str(trained / "run" / SAVED_MODEL))

    answer = served.signatures["serving_default"](texts=tf.constant(["so cold"]))

    assert answer["classes"][0, 0] == b"0"


@pytest.mark.parametrize("opened", [open_run, evaluate_run])
def test_a_copy_that_changed_or_is_gone_is_refused(moved, opened):
    (moved / COPY).write_text("\n".join(reversed(WORDS)))
    with pytest.raises(ConfigError, match=r"the one that was trained: assets .*txt\) has changed"):
        opened(moved)

    shutil.rmtree(moved / ASSETS)
    with pytest.raises(ConfigError, match=r"the one that was trained: assets .*txt\) is gone"):
        opened(moved)


def test_another_run_goes_on_from_its_backbone(moved, tmp_path):
    settings = write_texts(tmp_path / "next")
    source = {"kind": "kft_run", "path": str(moved)}

    run(load_config({**settings, "backbone": source, "exporters": []}))

    files = json.loads((tmp_path / "next/run" / MODEL).read_text())["files"]
    assert list(files["backbone.path.assets"]) == ["data.input.vocabulary/words.txt"]
    assert KftRun(path=str(moved)).dependencies()["path.assets"] == str(moved / ASSETS)
    (moved / COPY).write_text("other words")
    with pytest.raises(BackboneError, match=r"assets .* has changed"):
        KftRun(path=str(moved)).load(tf.TensorSpec((8,), tf.int32))


def test_a_killed_run_goes_on_with_its_copy(tmp_path, trained):
    kill = {"kind": "killing:KillOnce", "epoch": 1, "mark": str(tmp_path / "killed")}
    settings = {**write_texts(tmp_path / "texts"), "exporters": []}
    config = load_config({**settings, "callbacks": [kill]})
    with pytest.raises(Killed):
        run(config)
    (tmp_path / "texts/words.txt").write_text("all other words")

    result = run(load_config(Path(config.output_dir) / CONFIG), resume=True)

    whole = json.loads((trained / "run/scores.json").read_text())
    assert result.scores["test"] == whole["test"]
    assert (result.directory / COPY).read_text() == "\n".join(WORDS)


def test_a_vocabulary_may_be_a_folder(tmp_path):
    settings = {**write_texts(tmp_path / "texts"), "exporters": []}
    (tmp_path / "tables").mkdir()
    (tmp_path / "texts/words.txt").rename(tmp_path / "tables/words.txt")
    settings["data"]["input"]["vocabulary"] = str(tmp_path / "tables")

    directory = run(load_config(settings)).directory
    shutil.rmtree(tmp_path / "tables")

    assert (directory / ASSETS / "data.input.vocabulary/tables/words.txt").is_file()
    assert evaluate_run(directory)["test"]["accuracy"] == 1


def test_texts_are_called_what_their_input_says(tmp_path):
    config = load_config(write_texts(tmp_path))

    shown = Console(width=100, file=StringIO())
    shown.print(plan_summary(plan(config)))
    shown.print(check_summary(check(config)))

    lines = shown.file.getvalue().splitlines()
    heads = [line.split() for line in lines if line.startswith("sentences")]
    assert heads == [["sentences", "train", "validation", "test"]] * 2


@pytest.mark.parametrize("start", [run, plan, check])
def test_a_vocabulary_that_is_not_there_is_said_before_anything_is_done(tmp_path, start):
    config = load_config(write_texts(tmp_path))
    (tmp_path / "words.txt").unlink()

    with pytest.raises(ConfigError, match=r"data.input.vocabulary '.*words.txt': cannot be read"):
        start(config)

    assert not (tmp_path / "run").exists()
