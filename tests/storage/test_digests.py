"""A run is opened again only while its model is the one that was trained."""

import json
import shutil
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from hub_modules import save_reusable
from keras_files import save_vector_model
from rich.console import Console
from tiny import TinyDense, Vectors, Words

from kft.backbone import Backbone, BackboneSource, layer_stages
from kft.backbones.keras_file import KerasFile
from kft.backbones.kft_run import KftRun
from kft.backbones.tf_hub import TfHub
from kft.config.run_config import load_config
from kft.errors import BackboneError, ConfigError
from kft.image.applications import KerasApplication
from kft.progress import shown_on
from kft.settings.component import AbsolutePath
from kft.storage.digests import write_model
from kft.storage.run_files import BEST_WEIGHTS, CONFIG, MODEL, SAVED_MODEL, TARGET
from kft.workflows.predict import predict
from kft.workflows.rerun import evaluate_run, export_run, open_run
from kft.workflows.run import run

PHASE = {"name": "head", "epochs": 2, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "all"}}


class ListedWords(BackboneSource):
    """Looks words up in a list of them: in another order they are other words."""

    path: AbsolutePath

    def load(self, input_spec, pretrained=True):
        words = Path(self.path).read_text().split()
        inputs = keras.Input(input_spec.shape, dtype="string")
        numbers = keras.layers.StringLookup(vocabulary=words)(inputs)
        model = keras.Model(inputs, keras.layers.Embedding(9, 6, name="words")(numbers))
        return Backbone("listed", model, layer_stages(model), self.batch_norm)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a finished run, and the list of words that its backbone reads."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "words.txt").write_text("low middle high")
    settings = {
        "output_dir": str(folder / "run"),
        "data": {"kind": "tiny:Texts"},
        "backbone": {"kind": f"{__name__}:ListedWords", "path": str(folder / "words.txt")},
        "phases": [PHASE],
    }
    run(load_config(settings))
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of that folder, whose run reads the list in the copy."""
    shutil.copytree(trained, tmp_path / "copy")
    there, here = json.dumps(str(trained))[1:-1], json.dumps(str(tmp_path / "copy"))[1:-1]
    for name in (CONFIG, MODEL):
        path = tmp_path / "copy" / "run" / name
        path.write_text(path.read_text().replace(there, here))
    redo_settings(tmp_path / "copy" / "run")
    return tmp_path / "copy"


def redo_settings(directory):
    """Gives a run the digests of settings that a run with this config begins with."""
    found = json.loads((directory / MODEL).read_text())
    (directory / MODEL).unlink()
    write_model(directory, {}, {})
    made = json.loads((directory / MODEL).read_text())
    (directory / MODEL).write_text(json.dumps({**found, "settings": made["settings"]}))


def go_on_from(directory):
    return KftRun(path=str(directory)).load(tf.TensorSpec((), tf.string))


@pytest.mark.parametrize("opened", [open_run, evaluate_run, export_run, go_on_from])
def test_a_file_of_the_backbone_that_changed_is_told_wherever_the_run_is_opened(folder, opened):
    if opened is export_run:
        shutil.rmtree(folder / "run" / "export")
    (folder / "words.txt").write_text("high low middle")

    changed = r"no longer the one that was trained: backbone.path \(.*/words.txt\) has changed"
    with pytest.raises((ConfigError, BackboneError), match=changed):
        opened(folder / "run")

    assert (folder / "run" / "export").exists() == (opened is not export_run)


def test_all_that_is_gone_or_changed_is_told_at_once(folder):
    (folder / "words.txt").unlink()
    (folder / "run" / TARGET).write_text((folder / "run" / TARGET).read_text() + " ")
    with (folder / "run" / BEST_WEIGHTS).open("ab") as weights:
        weights.write(b"x")
    config = (folder / "run" / CONFIG).read_text()
    (folder / "run" / CONFIG).write_text(config.replace('"dropout": 0.2', '"dropout": 0.3'))

    with pytest.raises(ConfigError) as error:
        open_run(folder / "run")

    for part in (
        "head in config.json has changed",
        "words.txt) is gone",
        "best.weights.h5 has changed",
        "target.json has changed",
    ):
        assert part in str(error.value)


def said(do, *arguments):
    """What is said meanwhile."""
    with Path("said.txt").open("w") as file, shown_on(Console(file=file, width=999)):
        do(*arguments)
    return Path("said.txt").read_text()


def test_other_code_of_ones_own_is_a_note(folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = json.loads((folder / "run" / MODEL).read_text())
    found["code"][f"{__name__}:ListedWords"] = {"": "of another text"}
    (folder / "run" / MODEL).write_text(json.dumps(found))

    shown = said(open_run, folder / "run")

    assert f"trained, the code of {__name__}:ListedWords" in shown
    assert "test_digests.py) has changed" in shown


def test_a_run_without_digests_is_opened_with_a_note(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "run" / MODEL).unlink()

    assert "has no digests of its model, so none were compared" in said(open_run, folder / "run")


def test_an_export_that_changed_is_not_asked(folder):
    (folder / "words.txt").unlink()
    words = [tf.constant("low").numpy()]
    assert predict(folder / "run", words)[0].answer["probabilities"].shape == (3,)
    (folder / "run" / SAVED_MODEL / "assets" / "labels.txt").write_text("high\n")

    with pytest.raises(ConfigError, match=r"no longer the one that was verified: .*labels.txt"):
        predict(folder / "run", words)


def test_what_a_run_began_with_is_compared_when_it_goes_on(tmp_path):
    weights = tmp_path / "pretrained.weights.h5"
    weights.write_bytes(b"first")
    (tmp_path / CONFIG).write_text('{"data": {}}')
    backbone = KerasApplication(name="MobileNetV2", weights=str(weights))
    write_model(tmp_path, {"backbone": backbone}, backbone.pretrained_files())
    write_model(tmp_path, {"backbone": backbone}, backbone.pretrained_files())
    weights.write_bytes(b"other")

    with pytest.raises(
        ConfigError, match=r"what the run began with has changed: backbone.weights \("
    ):
        write_model(tmp_path, {"backbone": backbone}, backbone.pretrained_files())


class Listed(Words):
    """An input with files of its own, and settings that are no files."""

    vocabulary: str
    inner: Vectors = Vectors()
    more: tuple[str, ...] = ("/", "avg", "/nowhere/at/all")


def test_a_component_depends_on_the_files_that_it_reads(folder, tmp_path):
    words, module = str(folder / "words.txt"), str(save_reusable(tmp_path))
    file = save_vector_model(tmp_path)
    earlier = folder / "run"

    assert Listed(vocabulary=words).dependencies() == {"vocabulary": words}
    assert TinyDense().dependencies() == {}
    assert KerasFile(path=file).dependencies() == {"path": file}
    assert TfHub(handle=module).dependencies() == {"handle": module}
    assert KftRun(path=str(earlier)).dependencies() == {
        "path.config": str(earlier / CONFIG),
        "path.backbone.path": words,
    }
    assert KftRun(path=str(earlier)).pretrained_files() == {
        "path.weights": str(earlier / BEST_WEIGHTS),
        "path.target": str(earlier / TARGET),
    }
    config = load_config(earlier / CONFIG)
    assert list(config.model_parts) == ["backbone", "head", "data.input"]


def test_digests_that_are_damaged_are_told(folder):
    for text in ("{", "[]", "{}"):
        (folder / "run" / MODEL).write_text(text)

        with pytest.raises(ConfigError, match="model.json: is damaged: "):
            open_run(folder / "run")
