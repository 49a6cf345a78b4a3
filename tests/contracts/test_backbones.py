"""What every backbone source must do. A new kind joins by one line in SOURCES."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache

import hub_modules
import keras
import numpy as np
import pytest
import tensorflow as tf
from documented import documented
from keras_files import save_vector_model
from keras_hub_presets import save_preset
from tiny import TARGET, Ramp, Texts, TinyDense, TinyWords

from kft.backbone import BackboneSource, batch_norm_variables
from kft.backbones.keras_file import KerasFile
from kft.backbones.kft_run import KftRun
from kft.backbones.tf_hub import TfHub
from kft.config.run_config import load_config
from kft.exporters.saved_model import SavedModelExporter
from kft.image.applications import KerasApplication
from kft.image.digits import Digits
from kft.image.input import ImageInput
from kft.image.keras_hub import KerasHub
from kft.settings.catalog import CATALOG
from kft.storage.run_files import BEST_WEIGHTS, CONFIG
from kft.task import assemble, save_weights
from kft.workflows.rerun import open_run
from kft.workflows.run import run

PICTURES = Digits(input=ImageInput(size=(32, 32)))

# A source, made in a folder where it may put files, and a data source whose examples it takes. The
# name begins with the kind.
SOURCES = {
    "keras_application": lambda _: (
        KerasApplication(name="MobileNetV3Small", weights=None),
        PICTURES,
    ),
    "keras_application that trains gamma and beta": lambda _: (
        KerasApplication(name="EfficientNetB0", weights=None, batch_norm="inference"),
        PICTURES,
    ),
    "keras_hub": lambda folder: (
        KerasHub(preset=save_preset(folder)),
        Digits(input=ImageInput(size=(16, 16))),
    ),
    "keras_file": lambda folder: (
        KerasFile(path=save_vector_model(folder), layer="second"),
        Ramp(),
    ),
    "kft_run": lambda folder: (KftRun(path=str(earlier_run(folder))), Ramp()),
    "tf_hub": lambda folder: (TfHub(handle=hub_modules.save_reusable(folder)), Ramp()),
    "tf_hub with noise": lambda folder: (TfHub(handle=hub_modules.save_doubles(folder)), Ramp()),
    "tiny:TinyWords": lambda _: (TinyWords(), Texts()),
    "example_backbone:DenseNet": lambda _: (documented("example_backbone").DenseNet(), Ramp()),
}
# To train and export one takes seconds, and half a minute if it is deep.
SLOW_TO_RUN = {
    "keras_application",
    "keras_application that trains gamma and beta",
    "tf_hub with noise",
}
# Needs an extra that comes with the extra `dev` alone, for its size.
SLOW = {"keras_hub"}


def marked(slow):
    """The names of the sources, those in `slow` marked so."""
    return [pytest.param(n, marks=pytest.mark.slow if n in slow else ()) for n in SOURCES]


def earlier_run(folder):
    """The directory of a run with the tiny backbone, not trained."""
    data, directory = Ramp(), folder / "earlier"
    settings = {"data": data, "backbone": TinyDense(), "exporters": []}
    config = load_config({**settings, "output_dir": str(directory)})
    task = assemble(config.backbone.load(data.input.spec), config.head, TARGET, data.input)
    (directory / BEST_WEIGHTS).parent.mkdir(parents=True)
    save_weights(task, directory / BEST_WEIGHTS)
    (directory / CONFIG).write_text(config.to_json())
    (directory / "target.json").write_text(json.dumps(asdict(TARGET)))
    return directory


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes a source once, and gives it with its data source."""
    return cache(lambda name: SOURCES[name](tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="module", params=marked(SLOW))
def loaded(request, made):
    """A backbone and a batch that it takes."""
    source, data = made(request.param)
    keras.utils.set_random_seed(0)
    return source.load(data.input.spec), first_examples(data)[1]


def first_examples(data, size=8):
    """The first examples to train on, raw and decoded, each ``(size, …)``."""
    split = data.load(0).train
    raw = [split.fetch(tf.constant(number, tf.int64)) for number in range(size)]
    return tf.stack(raw), tf.stack([data.input.decode(each) for each in raw])


def changed_by_a_step(backbone, batch):
    """Trains for one step and returns the ids of the variables that are not bit-equal."""
    inputs = keras.Input(batch.shape[1:], dtype=batch.dtype.name)
    model = keras.Model(inputs, keras.layers.Dense(1)(backbone.applied()(inputs)))
    model.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=True)
    before = [variable.numpy() for variable in backbone.model.variables]
    model.train_on_batch(batch, np.arange(float(len(batch)))[:, None])
    pairs = zip(backbone.model.variables, before, strict=True)
    return {id(variable) for variable, old in pairs if not np.array_equal(variable, old)}


def ids(variables):
    return {id(variable) for variable in variables}


def trainable_variables(model):
    """Returns the variables that could train, whatever is frozen now."""
    return [
        variable for layer in model._flatten_layers() for variable in layer._trainable_variables
    ]


def test_every_kind_of_source_is_in_the_battery():
    assert {*CATALOG["backbone"]} - {name.partition(" ")[0] for name in SOURCES} == set()


@pytest.mark.parametrize("name", marked(SLOW))
def test_source_survives_its_config(name, made):
    source, _ = made(name)

    settings = source.model_dump(mode="json")

    again = BackboneSource.model_validate(settings)

    assert again == source
    assert again.kind == name.partition(" ")[0]


def test_features_are_float_vectors(loaded):
    backbone, batch = loaded

    features = backbone.model(batch)

    assert features.dtype == tf.float32
    assert features.shape == (8, backbone.model.output_shape[1])
    assert np.isfinite(features).all()


def test_stages_are_disjoint_and_hold_all_that_may_train(loaded):
    backbone, _ = loaded

    variables = [id(variable) for stage in backbone.stages for variable in stage.variables]

    assert len(set(variables)) == len(variables)
    assert ids(trainable_variables(backbone.model)) <= set(variables)
    assert len({stage.name for stage in backbone.stages}) == len(backbone.stages)


def test_nothing_trains_when_no_stage_is_chosen(loaded):
    backbone, batch = loaded

    backbone.train_only(())

    assert backbone.model.trainable_variables == []
    assert changed_by_a_step(backbone, batch) == set()


def test_the_chosen_stages_train_and_nothing_else(loaded):
    backbone, batch = loaded
    chosen = [*backbone.stages[:1], *backbone.stages[-2:]]
    backbone.train_only(backbone.stages)

    backbone.train_only(chosen)

    held = ids(batch_norm_variables(backbone.model)) if backbone.batch_norm == "frozen" else set()
    expected = ids(v for stage in chosen for v in stage.variables) - held
    expected &= ids(trainable_variables(backbone.model))
    assert ids(backbone.model.trainable_variables) == expected
    assert changed_by_a_step(backbone, batch) == expected


def test_batch_statistics_stay_while_all_stages_train(loaded):
    backbone, batch = loaded
    may_train = ids(trainable_variables(backbone.model))
    backbone.train_only(backbone.stages)

    changed = changed_by_a_step(backbone, batch)

    assert changed
    assert not changed & (ids(batch_norm_variables(backbone.model)) - may_train)


def test_features_are_the_same_in_training_as_in_inference(loaded):
    backbone, batch = loaded
    if backbone.training_noise:
        backbone.train_only(())
    layer = backbone.applied()

    training = layer(batch, training=True)

    np.testing.assert_array_equal(training, layer(batch, training=False))


@pytest.mark.parametrize("name", marked(SLOW | SLOW_TO_RUN))
def test_a_run_can_be_opened_again_and_its_export_answers_the_same(name, made, tmp_path):
    source, data = made(name)
    phase = {"epochs": 1, "optimizer": {"kind": "adam", "learning_rate": 1e-3}}
    phases = [
        {"name": "head", "unfreeze": {"kind": "none"}, **phase},
        {"name": "finetune", "unfreeze": {"kind": "top", "stages": 1}, **phase},
    ]
    settings = {"data": data, "backbone": source, "phases": phases, "exporters": []}

    result = run(load_config({**settings, "output_dir": str(tmp_path / "run")}))

    _, task = open_run(result.directory)
    raw, batch = first_examples(data)
    path = tmp_path / "saved_model"
    SavedModelExporter().write(task, path)
    served = tf.saved_model.load(str(path))
    answer = served.signatures["serving_default"](raw)["probabilities"]
    np.testing.assert_allclose(answer, task.model(batch), atol=1e-5)
    assert [told["name"] for told in result.scores["phases"]] == ["head", "finetune"]
