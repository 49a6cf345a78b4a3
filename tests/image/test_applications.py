from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.utils import file_utils
from pydantic import ValidationError

from kft.errors import BackboneError, ConfigError
from kft.image.application import applications
from kft.image.application_graph import preprocess
from kft.image.applications import KerasApplication, list_backbones
from kft.image.pretrained_weights import BUNDLED

MODULES = sorted({(model.module, model.preprocessing) for model in applications().values()})


def spec(*shape, dtype="uint8"):
    return tf.TensorSpec(shape, dtype)


def images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype("uint8")


def test_table_has_every_model_of_keras_applications():
    there = {name for name, value in vars(keras.applications).items() if inspect.isfunction(value)}

    known = set(applications())

    assert known == there


def test_table_names_the_module_each_model_is_in():
    modules = {
        name: getattr(keras.applications, name).__module__.rpartition(".")[2]
        for name in applications()
    }

    named = {name: model.module for name, model in applications().items()}

    assert named == modules


@pytest.mark.parametrize(("module", "mode"), MODULES)
def test_preprocessing_equals_that_of_keras(module, mode):
    batch = images(2, 5, 4, 3)
    pixels = keras.Input((5, 4, 3), dtype="uint8")

    ours = keras.Model(pixels, preprocess(pixels, mode))(batch)

    family = importlib.import_module(f"keras.applications.{module}")
    np.testing.assert_allclose(ours, family.preprocess_input(batch.astype("float32")), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("module", [module for module, mode in MODULES if mode == "none"])
def test_models_without_preprocessing_rescale_pixels_themselves(module):
    name = next(name for name, model in applications().items() if model.module == module)

    model = KerasApplication(name=name, weights=None).load(spec(32, 32, 3)).model

    kinds = [type(layer).__name__ for layer in model.layers if layer.name != "preprocessing"]
    assert {"Rescaling", "Normalization"} & set(kinds)


def test_bundled_mobilenet_gives_the_features_of_keras():
    batch = images(2, 96, 96, 3)
    theirs = keras.applications.MobileNetV2(
        include_top=False, weights=BUNDLED, pooling="avg", input_shape=(96, 96, 3)
    )

    backbone = KerasApplication(name="MobileNetV2", weights="bundled").load(spec(96, 96, 3))

    features = backbone.model(batch)
    scaled = keras.applications.mobilenet_v2.preprocess_input(batch.astype("float32"))
    np.testing.assert_allclose(features, theirs(scaled), atol=1e-4)
    assert features.shape == (2, 1280)
    assert np.std(features) > 0.1


def test_a_batch_norm_belongs_to_the_convolution_it_follows():
    backbone = KerasApplication(name="ResNet50", weights=None).load(spec(32, 32, 3))

    stages = {stage.name: stage.variables for stage in backbone.stages}

    norm = backbone.model.get_layer("conv2_block1_0_bn")
    assert len(stages) == 53
    assert {id(norm.gamma), id(norm.beta)} <= set(map(id, stages["conv2_block1_0_conv"]))


def test_mobilenet_v2_has_a_stage_for_each_of_52_convolutions():
    backbone = KerasApplication(name="MobileNetV2").load(spec(32, 32, 3), pretrained=False)

    sizes = {len(stage.variables) for stage in backbone.stages}

    assert len(backbone.stages) == 52
    assert sizes == {5}


def test_layer_names_do_not_depend_on_what_was_built_before():
    source = KerasApplication(name="Xception", weights=None)
    first = source.load(spec(71, 71, 3))

    second = source.load(spec(71, 71, 3))

    names = [operation.name for operation in second.model.operations]
    assert names == [operation.name for operation in first.model.operations]
    assert "conv2d" in [stage.name for stage in second.stages]


def test_graph_is_flat_and_can_be_cut_at_a_layer():
    model = KerasApplication(name="MobileNetV2", weights=None).load(spec(32, 32, 3)).model
    batch = images(1, 32, 32, 3)
    middle = model.get_layer("block_12_add").output

    below, above = keras.Model(model.input, middle), keras.Model(middle, model.output)

    np.testing.assert_allclose(above(below(batch)), model(batch), atol=1e-5)


def test_float_images_of_odd_size_work_and_flatten_keeps_the_map():
    source = KerasApplication(name="MobileNetV3Small", weights=None, pooling="flatten")

    backbone = source.load(spec(65, 97, 3, dtype="float32"))

    features = backbone.model(images(1, 65, 97, 3).astype("float32"))
    assert features.shape == (1, 3 * 4 * 576)


def test_model_survives_its_config():
    model = KerasApplication(name="VGG16", weights=None, pooling="max").load(spec(32, 32, 3)).model
    batch = images(1, 32, 32, 3)

    again = keras.Model.from_config(model.get_config())

    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(batch), model(batch))


def official_efficientnet(path):
    """Writes a file like the published one: the deviation stands in place of the variance."""
    keras.utils.set_random_seed(1)
    model = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.adapt_mean.assign([0.485, 0.456, 0.406])
            layer.adapt_variance.assign([0.229, 0.224, 0.225])
    model.save(path)
    return str(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_efficientnet_is_one_graph_and_gives_the_features_of_keras(tmp_path, monkeypatch):
    file = official_efficientnet(tmp_path / "efficientnetb0_notop.h5")
    batch = images(2, 32, 32, 3)
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **settings: file)
    monkeypatch.setattr(keras.utils, "get_file", lambda *args, **settings: file)
    theirs = keras.applications.EfficientNetB0(
        include_top=False, pooling="avg", input_shape=(32, 32, 3)
    )

    published = KerasApplication(name="EfficientNetB0").load(spec(32, 32, 3))
    by_path = KerasApplication(name="EfficientNetB0", weights=file).load(spec(32, 32, 3))
    fresh = KerasApplication(name="EfficientNetB0").load(spec(32, 32, 3), pretrained=False)
    published.model.save_weights(tmp_path / "own.weights.h5")
    fresh.model.load_weights(tmp_path / "own.weights.h5")

    np.testing.assert_allclose(fresh.model(batch), theirs(batch), rtol=1e-3, atol=1e-5)
    for backbone in (published, by_path):
        for ours, same in zip(backbone.model.weights, fresh.model.weights, strict=True):
            np.testing.assert_array_equal(ours, same)


@pytest.mark.parametrize(
    ("name", "side"), [("MobileNetV2", 96), ("MobileNetV2", 100), ("MobileNetV3Small", 64)]
)
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined")
def test_weights_are_the_file_that_keras_would_get(name, side, monkeypatch):
    asked = []

    def record(file, url, **settings):
        asked.append((file, url, settings.get("file_hash")))
        raise ConnectionError("no network")

    monkeypatch.setattr(file_utils, "get_file", record)
    monkeypatch.setattr(keras.utils, "get_file", record)
    with pytest.raises(ConnectionError):
        getattr(keras.applications, name)(include_top=False, input_shape=(side, side, 3))

    with pytest.raises(BackboneError):
        KerasApplication(name=name).load(spec(side, side, 3))

    assert asked[0] == asked[1]


def test_a_failed_download_says_how_to_get_the_file_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)
    file = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"

    with pytest.raises(BackboneError) as caught:
        KerasApplication(name="ResNet50").load(spec(32, 32, 3))

    assert caught.value.where == "backbone.weights 'imagenet'"
    assert "refused" in caught.value.problem
    assert (
        f"Download https://storage.googleapis.com/tensorflow/keras-applications/resnet/{file}"
        in (caught.value.fix)
    )
    assert str(tmp_path / "models" / file) in caught.value.fix


def test_offline_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KFT_OFFLINE", "1")

    with pytest.raises(BackboneError, match="ResNet50 are not on this machine, and kft is offline"):
        KerasApplication(name="ResNet50").load(spec(32, 32, 3))


def test_cached_weights_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mobilenet_1_0_128_tf_no_top.h5").touch()

    listed = {row["name"]: row for row in list_backbones()}

    assert listed["MobileNet"]["weights"] == "cached"
    assert listed["MobileNetV2"]["weights"] == "bundled"
    assert listed["ResNet50"] == {
        "name": "ResNet50",
        "parameters": 23587712,
        "megabytes": 94.4,
        "multiply_adds": 3855925248,
        "top1": 0.749,
        "minimum_size": 32,
        "weights": None,
    }


def test_list_and_settings_do_not_import_tensorflow():
    code = (
        "import sys; from kft.image.applications import KerasApplication, list_backbones\n"
        "list_backbones(); KerasApplication(name='ResNet50')\n"
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)

    assert done.returncode == 0


def test_a_missing_weights_file_is_named():
    source = KerasApplication(name="ResNet50", weights="no/such.h5")

    with pytest.raises(BackboneError, match="no/such.h5': is not a file on this machine"):
        source.load(spec(32, 32, 3))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights_with_a_top_say_that_a_notop_file_is_needed(tmp_path):
    file = tmp_path / "with_top.h5"
    keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), classes=3).save(file)
    source = KerasApplication(name="MobileNet", weights=str(file))

    with pytest.raises(BackboneError, match=r"Layer count mismatch.*Give a '_notop' file"):
        source.load(spec(32, 32, 3))


def test_weights_of_another_model_do_not_fit():
    source = KerasApplication(name="MobileNetV3Small", weights=str(BUNDLED))

    with pytest.raises(BackboneError, match="does not fit MobileNetV3Small without its top"):
        source.load(spec(32, 32, 3))


def test_a_file_that_holds_no_weights_is_refused(tmp_path):
    (tmp_path / "text.weights.h5").write_text("not HDF5")
    source = KerasApplication(name="MobileNetV3Small", weights=str(tmp_path / "text.weights.h5"))

    with pytest.raises(BackboneError, match="does not fit"):
        source.load(spec(32, 32, 3))


def test_unknown_name_is_answered_with_the_nearest():
    settings = {"name": "mobilenetv3small"}

    with pytest.raises(ValidationError, match="Did you mean 'MobileNetV3Small'"):
        KerasApplication(**settings)


def test_bundled_weights_are_refused_for_other_models():
    settings = {"name": "ResNet50", "weights": "bundled"}

    with pytest.raises(ValidationError, match="only MobileNetV2 has bundled weights"):
        KerasApplication(**settings)


def test_a_path_of_weights_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    source = KerasApplication(name="ResNet50", weights="own.weights.h5")

    assert source.weights == str(tmp_path / "own.weights.h5")


def test_images_below_the_minimum_are_refused_before_anything_is_built():
    source = KerasApplication(name="InceptionV3")

    with pytest.raises(ConfigError, match=r"data.input.size: is 74x96, .* needs at least 75x75"):
        source.load(spec(74, 96, 3))


def test_images_that_are_not_rgb_are_refused():
    source = KerasApplication(name="MobileNetV2", weights=None)

    with pytest.raises(
        BackboneError, match=r"\(height, width, 3\), but the data gives \(32, 32, 1\)"
    ):
        source.load(spec(32, 32, 1))


def test_backbones_are_sorted_with_the_unknown_last():
    by_weight = [row["name"] for row in list_backbones(sort="multiply_adds")]
    by_score = [row["top1"] for row in list_backbones(sort="top1")]
    small = list_backbones(size=64, sort="multiply_adds")

    assert by_weight.index("MobileNetV2") < by_weight.index("ResNet50") < by_weight.index("VGG16")
    assert by_score == sorted(by_score, reverse=True)
    assert {row["name"]: row["multiply_adds"] for row in small}["InceptionV3"] is None
    assert small[-1]["multiply_adds"] is None


@pytest.mark.slow
def test_the_table_is_what_keras_builds_for_one_model_of_each_family():
    smallest = {}
    for name, model in sorted(applications().items(), key=lambda item: -item[1].parameters):
        smallest[model.module] = name
    script = Path(__file__).parents[2] / "benchmarks" / "all_applications.py"

    done = subprocess.run(
        [sys.executable, script, *smallest.values()], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" ok\n") == len(smallest)
