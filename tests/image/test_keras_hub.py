"""What needs keras_hub is slow, since importing it is, and the extra `dev` alone brings it."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from keras_hub_presets import save_hugging_face, save_preset, save_transformer

from kft.errors import BackboneError, ConfigError
from kft.image.hugging_face import scale_and_offset
from kft.image.keras_hub import KerasHub

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    return save_preset(tmp_path_factory.mktemp("preset"))


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    return save_transformer(tmp_path_factory.mktemp("preset"))


def spec(side):
    return tf.TensorSpec((side, side, 3), tf.uint8)


def pictures(side):
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype("uint8")


def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)

    with pytest.raises(
        BackboneError, match="cannot be imported.*pip install 'keras-hub>="
    ) as found:
        KerasHub(preset="resnet_18_imagenet").load(spec(32))

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for package in project["optional-dependencies"]["keras-hub"]:
        assert repr(package) in str(found.value)


def test_offline_only_a_directory_will_do(monkeypatch):
    monkeypatch.setenv("KFT_OFFLINE", "1")

    with pytest.raises(BackboneError, match="is no directory, and kft is offline"):
        KerasHub(preset="resnet_18_imagenet").load(spec(32))


@pytest.mark.slow
def test_it_gives_the_features_of_keras_hub_at_any_size(resnet):
    import keras_hub

    theirs = keras_hub.models.Backbone.from_preset(resnet)
    batch = pictures(24)

    ours = KerasHub(preset=resnet).load(spec(24))

    scaled = batch / 100.0 + [-1.0, 0.0, 1.0]
    expected = np.mean(theirs(scaled), axis=(1, 2))
    np.testing.assert_allclose(ours.model(batch), expected, rtol=1e-4, atol=1e-5)
    assert len(ours.stages) == 6


@pytest.mark.slow
def test_a_transformer_gives_its_class_token_at_its_own_size(transformer):
    import keras_hub

    theirs = keras_hub.models.Backbone.from_preset(transformer)
    batch = pictures(16)

    ours = KerasHub(preset=transformer, pooling="token").load(spec(16))

    np.testing.assert_allclose(ours.model(batch), theirs(batch / 255.0)[:, 0], atol=1e-5)
    with pytest.raises(ConfigError, match=r"gives images of shape \(24, 24, 3\), but .* takes"):
        KerasHub(preset=transformer).load(spec(24))


HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("told", "black", "white"),
    [
        (HALVES, -1.0, 1.0),
        ({**HALVES, "do_normalize": False}, 0.0, 1.0),
        ({"do_normalize": False, "rescale_factor": 1 / 127.5}, 0.0, 2.0),
        ({**HALVES, "do_rescale": False}, -1.0, 509.0),
    ],
    ids=["feature extractor", "range", "factor", "moments alone"],
)
def test_a_model_of_hugging_face_takes_pixels_as_its_file_says(told, black, white):
    scale, offset = scale_and_offset(told)

    assert offset == pytest.approx([black] * 3)
    assert [255 * s + o for s, o in zip(scale, offset, strict=True)] == pytest.approx([white] * 3)


@pytest.mark.slow
def test_a_directory_of_hugging_face_has_its_weights_and_takes_its_pixels(tmp_path):
    from safetensors.numpy import load_file

    path = save_hugging_face(tmp_path)
    weights = load_file(f"{path}/model.safetensors")
    backbone = KerasHub(preset=path, pooling="token").load(spec(16))

    kernel = backbone.model.get_layer("vit_patching_and_embedding").patch_embedding.kernel
    kept = weights["vit.embeddings.patch_embeddings.projection.weight"]
    np.testing.assert_array_equal(kernel, np.transpose(kept, (2, 3, 1, 0)))
    (converter,) = (layer for layer in backbone.model.layers if hasattr(layer, "offset"))
    taken = np.asarray(converter(pictures(16).astype("float32")))
    wanted = (pictures(16) / 255 - [0.5, 0.25, 0.5]) / [0.5, 0.5, 0.25]
    np.testing.assert_allclose(taken, wanted, atol=1e-5)
    assert backbone.model(pictures(16)).shape == (2, 8)
    Path(path, "preprocessor_config.json").unlink()
    with pytest.raises(BackboneError, match="does not say how it takes pixels: preprocessor_con"):
        KerasHub(preset=path).load(spec(16), pretrained=False)


@pytest.mark.slow
def test_a_model_of_timm_sees_pictures_at_the_size_of_the_input(tmp_path):
    told = {"input_size": [3, 224, 224], "mean": [0.5] * 3, "std": [0.5] * 3}
    told["interpolation"] = "bicubic"
    config = {"architecture": "vgg11", "num_classes": 2, "pretrained_cfg": told}
    (tmp_path / "config.json").write_text(json.dumps(config))

    backbone = KerasHub(preset=str(tmp_path)).load(spec(48), pretrained=False)

    (converter,) = (layer for layer in backbone.model.layers if hasattr(layer, "offset"))
    assert converter(pictures(48).astype("float32")).shape == (2, 48, 48, 3)


@pytest.mark.slow
def test_without_pretrained_the_weights_are_not_read(resnet):
    trained = KerasHub(preset=resnet).load(spec(24))

    fresh = KerasHub(preset=resnet).load(spec(24), pretrained=False)

    shapes = [[weight.shape for weight in made.model.weights] for made in (fresh, trained)]
    assert shapes[0] == shapes[1]
    assert not np.array_equal(fresh.model.get_weights()[0], trained.model.get_weights()[0])


def test_a_directory_that_is_not_there_is_told_as_one(tmp_path):
    with pytest.raises(BackboneError, match="gone': is no directory. Correct the path"):
        KerasHub(preset=str(tmp_path / "gone")).load(spec(24))


@pytest.mark.slow
def test_what_does_not_fit_is_refused(resnet, tmp_path):
    with pytest.raises(ConfigError, match="needs a sequence, but .* gives a map"):
        KerasHub(preset=resnet, pooling="token").load(spec(24))
    with pytest.raises(BackboneError, match="cannot be loaded"):
        KerasHub(preset=str(tmp_path)).load(spec(24))
