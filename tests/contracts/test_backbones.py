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
from keras_files import save_vector_model
from keras_hub_presets import save_preset
from tiny import TARGET, Ramp, TinyDense, Vectors

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
from kft.storage.run_files import BEST_WEIGHTS, CONFIG
from kft.task import assemble, save_weights
from kft.workflows.run import open_run, run

PIXELS = ImageInput(size=(32, 32))
VECTORS = Vectors()

# A source, made in a folder where it may put files, and an input that it takes.
SOURCES = {
    "mobilenet_v3": lambda _: (KerasApplication(name="MobileNetV3Small", weights=None), PIXELS),
    "efficientnet": lambda _: (
        KerasApplication(name="EfficientNetB0", weights=None, batch_norm="inference"),
        PIXELS,
    ),
    "keras_hub": lambda folder: (
        KerasHub(preset=save_preset(folder)),
        ImageInput(size=(16, 16)),
    ),
    "keras_file": lambda folder: (
        KerasFile(path=save_vector_model(folder), layer="second"),
        VECTORS,
    ),
    "kft_run": lambda folder: (KftRun(path=str(earlier_run(folder))), VECTORS),
    "tf_hub": lambda folder: (TfHub(handle=hub_modules.save_reusable(folder)), VECTORS),
    "tf_hub_with_noise": lambda folder: (TfHub(handle=hub_modules.save_doubles(folder)), VECTORS),
}
# To train and export one takes seconds, and half a minute if it is deep.
SLOW_TO_RUN = {"mobilenet_v3", "efficientnet", "tf_hub_with_noise"}
# Needs an extra that comes with the extra `dev` alone, for its size.
SLOW = {"keras_hub"}


def marked(slow):
    """The names of the sources, those in `slow` marked so."""
    return [pytest.param(n, marks=pytest.mark.slow if n in slow else ()) for n in SOURCES]


def earlier_run(folder):
    """The directory of a run with the tiny backbone, not trained."""
    settings = {"data": Ramp(), "backbone": TinyDense(), "exporters": []}
    directory = folder / "earlier"
    config = load_config({**settings, "output_dir": str(directory)})
    task = assemble(config.backbone.load(VECTORS.spec), config.head, TARGET, VECTORS)
    (directory / BEST_WEIGHTS).parent.mkdir(parents=True)
    save_weights(task, directory / BEST_WEIGHTS)
    (directory / CONFIG).write_text(config.to_json())
    (directory / "target.json").write_text(json.dumps(asdict(TARGET)))
    return directory


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes a source once and returns it with its input."""
    return cache(lambda name: SOURCES[name](tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="module", params=marked(SLOW))
def loaded(request, made):
    source, read_by = made(request.param)
    keras.utils.set_random_seed(0)
    return source.load(read_by.spec), read_by.spec


def batch_of(spec, size=8):
    values = np.random.default_rng(0).integers(0, 256, (size, *spec.shape))
    return values.astype(spec.dtype.as_numpy_dtype)


def changed_by_a_step(backbone, spec):
    """Trains for one step and returns the ids of the variables that are not bit-equal."""
    inputs = keras.Input(spec.shape, dtype=spec.dtype.name)
    model = keras.Model(inputs, keras.layers.Dense(1)(backbone.applied()(inputs)))
    model.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=True)
    before = [variable.numpy() for variable in backbone.model.variables]
    model.train_on_batch(batch_of(spec), np.arange(8.0)[:, None])
    pairs = zip(backbone.model.variables, before, strict=True)
    return {id(variable) for variable, old in pairs if not np.array_equal(variable, old)}


def ids(variables):
    return {id(variable) for variable in variables}


def trainable_variables(model):
    """Returns the variables that could train, whatever is frozen now."""
    return [
        variable for layer in model._flatten_layers() for variable in layer._trainable_variables
    ]


@pytest.mark.parametrize("name", marked(SLOW))
def test_source_survives_its_config(name, made):
    source, _ = made(name)

    settings = source.model_dump(mode="json")

    again = BackboneSource.model_validate(settings)

    assert again == source


def test_features_are_float_vectors(loaded):
    backbone, spec = loaded

    features = backbone.model(batch_of(spec))

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
    backbone, spec = loaded

    backbone.train_only(())

    assert backbone.model.trainable_variables == []
    assert changed_by_a_step(backbone, spec) == set()


def test_the_chosen_stages_train_and_nothing_else(loaded):
    backbone, spec = loaded
    chosen = [*backbone.stages[:1], *backbone.stages[-2:]]
    backbone.train_only(backbone.stages)

    backbone.train_only(chosen)

    held = ids(batch_norm_variables(backbone.model)) if backbone.batch_norm == "frozen" else set()
    expected = ids(v for stage in chosen for v in stage.variables) - held
    expected &= ids(trainable_variables(backbone.model))
    assert ids(backbone.model.trainable_variables) == expected
    assert changed_by_a_step(backbone, spec) == expected


def test_batch_statistics_stay_while_all_stages_train(loaded):
    backbone, spec = loaded
    may_train = ids(trainable_variables(backbone.model))
    backbone.train_only(backbone.stages)

    changed = changed_by_a_step(backbone, spec)

    assert changed
    assert not changed & (ids(batch_norm_variables(backbone.model)) - may_train)


def test_features_are_the_same_in_training_as_in_inference(loaded):
    backbone, spec = loaded
    if backbone.training_noise:
        backbone.train_only(())
    layer = backbone.applied()

    training = layer(batch_of(spec), training=True)

    np.testing.assert_array_equal(training, layer(batch_of(spec), training=False))


@pytest.mark.parametrize("name", marked(SLOW | SLOW_TO_RUN))
def test_a_run_can_be_opened_again_and_its_export_answers_the_same(name, made, tmp_path):
    source, read_by = made(name)
    data = Ramp() if read_by is VECTORS else Digits(input=read_by)
    phase = {"epochs": 1, "optimizer": {"kind": "adam", "learning_rate": 1e-3}}
    phases = [
        {"name": "head", "unfreeze": {"kind": "none"}, **phase},
        {"name": "finetune", "unfreeze": {"kind": "top", "stages": 1}, **phase},
    ]
    settings = {"data": data, "backbone": source, "phases": phases, "exporters": []}

    result = run(load_config({**settings, "output_dir": str(tmp_path / "run")}))

    _, task = open_run(result.directory)
    batch = batch_of(read_by.spec)
    expected = task.model(batch).numpy()
    path = tmp_path / "saved_model"
    SavedModelExporter().write(task, path)
    answer = ask_in_process(path, read_by, batch)
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    assert [told["name"] for told in result.scores["phases"]] == ["head", "finetune"]


def ask_in_process(path, read_by, batch):
    """What an exported model answers to decoded examples."""
    served = tf.saved_model.load(str(path))
    name = "serving_default" if read_by is VECTORS else "serve_images_uint8"
    return served.signatures[name](tf.constant(batch))["probabilities"]
