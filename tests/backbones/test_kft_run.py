from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from keras_files import save_picture_model
from tiny import Ramp, TinyDense

from kft.backbones.keras_file import KerasFile
from kft.backbones.kft_run import KftRun
from kft.config.run_config import load_config
from kft.errors import BackboneError, ConfigError
from kft.heads.classifier import Classifier
from kft.image.input import ImageInput
from kft.storage.run_files import BEST_WEIGHTS, CONFIG, TARGET
from kft.task import Target, assemble, save_weights
from kft.workflows.rerun import open_run
from kft.workflows.run import run

VECTORS = tf.TensorSpec((8,), tf.float32)


def settings_of_a_run(folder, **settings):
    phase = {
        "name": "finetune",
        "epochs": 1,
        "optimizer": {"kind": "adam", "learning_rate": 1e-2},
        "unfreeze": {"kind": "all"},
    }
    return {
        "data": Ramp(),
        "phases": [phase],
        "exporters": [],
        "output_dir": str(folder),
    } | settings


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A run of the tiny backbone."""
    folder = tmp_path_factory.mktemp("earlier") / "first"
    return run(load_config(settings_of_a_run(folder, backbone=TinyDense()))).directory


def test_the_backbone_has_the_weights_that_the_run_ended_with(earlier):
    _, task = open_run(earlier)

    backbone = KftRun(path=str(earlier)).load(VECTORS)

    pairs = zip(backbone.model.weights, task.backbone.model.weights, strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)
    assert backbone.name == "tiny of first"
    assert [stage.name for stage in backbone.stages] == ["bottom", "top"]


@pytest.mark.slow
def test_another_run_goes_on_from_it_and_is_gone_on_from(earlier, tmp_path):
    config = load_config(settings_of_a_run(tmp_path / "second", backbone=KftRun(path=str(earlier))))
    second = run(config).directory
    _, task = open_run(second)

    third = KftRun(path=str(second)).load(VECTORS)

    assert all(map(np.array_equal, third.model.weights, task.backbone.model.weights))
    assert third.name == "tiny of first of second"


def test_batch_norm_is_that_of_this_run(earlier):
    backbone = KftRun(path=str(earlier), batch_norm="inference").load(VECTORS)

    backbone.train_only(backbone.stages)

    assert "gamma" in {variable.name for variable in backbone.model.trainable_variables}


def test_pictures_may_have_another_size(tmp_path):
    path = save_picture_model(tmp_path)
    source, small = KerasFile(path=path, layer="pool"), ImageInput(size=(8, 8))
    task = assemble(source.load(small.spec), Classifier(), Target("class", ("a", "b")), small)
    (tmp_path / BEST_WEIGHTS).parent.mkdir()
    save_weights(task, tmp_path / BEST_WEIGHTS)
    config = load_config(
        settings_of_a_run(tmp_path, data={"kind": "digits", "input": small}, backbone=source)
    )
    (tmp_path / CONFIG).write_text(config.to_json())
    (tmp_path / TARGET).write_text(json.dumps({"kind": "class", "names": ["a", "b"]}))

    larger = KftRun(path=str(tmp_path)).load(tf.TensorSpec((12, 10, 3), tf.uint8))

    assert larger.model.input_shape == (None, 12, 10, 3)
    pairs = zip(larger.model.weights, task.backbone.model.weights, strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(
        BackboneError, match="is not the directory of a run: it has no config.json. Give"
    ):
        KftRun(path=str(tmp_path)).load(VECTORS)


def test_a_run_that_was_not_trained_is_refused(tmp_path):
    config = load_config(settings_of_a_run(tmp_path, backbone=TinyDense()))
    (tmp_path / CONFIG).write_text(config.to_json())

    with pytest.raises(BackboneError, match="has no weights that fit its config"):
        KftRun(path=str(tmp_path)).load(VECTORS)


def test_foreign_code_of_the_earlier_run_needs_trust_too(tmp_path, monkeypatch):
    (tmp_path / "foreign_backbones.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    foreign = {"backbone": {"kind": "foreign_backbones:Mine"}, "head": {}, "data": {"input": {}}}
    (tmp_path / CONFIG).write_text(json.dumps(foreign))
    chain = tmp_path / "chain"
    chain.mkdir()
    inner = {"kind": "kft_run", "path": str(tmp_path)}
    (chain / CONFIG).write_text(json.dumps({**foreign, "backbone": inner}))

    for path in (tmp_path, chain):
        settings = settings_of_a_run(
            tmp_path / "new", backbone={"kind": "kft_run", "path": str(path)}
        )
        with pytest.raises(ConfigError, match="--trust foreign_backbones"):
            load_config(settings, trust=())
    assert "foreign_backbones" not in sys.modules
