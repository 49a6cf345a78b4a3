"""What needs keras_hub is slow, since importing it is, and `kft[dev]` alone brings it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf
from keras_hub_presets import save_preset, save_transformer

from kft.errors import BackboneError, ConfigError
from kft.image.keras_hub import KerasHub


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

    with pytest.raises(BackboneError, match=r"cannot be imported.*pip install .kft\[keras-hub\]"):
        KerasHub(preset="resnet_18_imagenet").load(spec(32))


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


@pytest.mark.slow
def test_without_pretrained_the_weights_are_not_read(resnet):
    trained = KerasHub(preset=resnet).load(spec(24))

    fresh = KerasHub(preset=resnet).load(spec(24), pretrained=False)

    shapes = [[weight.shape for weight in made.model.weights] for made in (fresh, trained)]
    assert shapes[0] == shapes[1]
    assert not np.array_equal(fresh.model.get_weights()[0], trained.model.get_weights()[0])


@pytest.mark.slow
def test_what_does_not_fit_is_refused(resnet, tmp_path):
    with pytest.raises(ConfigError, match="needs a sequence, but .* gives a map"):
        KerasHub(preset=resnet, pooling="token").load(spec(24))
    with pytest.raises(BackboneError, match="cannot be loaded"):
        KerasHub(preset=str(tmp_path)).load(spec(24))
