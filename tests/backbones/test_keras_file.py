from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_files import save_picture_model
from pydantic import ValidationError

from kft.backbones.keras_file import KerasFile
from kft.engine.cut import cut
from kft.errors import BackboneError

PIXELS = tf.TensorSpec((8, 8, 3), tf.uint8)


def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype("uint8")


@pytest.mark.parametrize("sequential", [False, True])
def test_the_model_is_cut_at_the_layer(sequential, tmp_path):
    path = save_picture_model(tmp_path, sequential)
    whole = keras.saving.load_model(path)

    backbone = KerasFile(path=path, layer="pool").load(PIXELS)

    expected = keras.Model(whole.inputs[0], whole.get_layer("pool").output)(pictures())
    np.testing.assert_allclose(backbone.model(pictures()), expected, rtol=1e-6)
    assert [stage.name for stage in backbone.stages] == ["first", "second"]
    assert backbone.name == "mine.keras"


def test_a_layer_with_a_map_is_pooled_and_bytes_are_scaled(tmp_path):
    source = KerasFile(
        path=save_picture_model(tmp_path), layer="second", input_range=(-1, 1), pooling="max"
    )
    whole = keras.saving.load_model(source.path)

    features = source.load(PIXELS).model(pictures())

    second = keras.Model(whole.inputs[0], whole.get_layer("second").output)
    expected = np.max(second(pictures() / 127.5 - 1), axis=(1, 2))
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_the_graph_is_flat_so_that_features_below_what_trains_can_be_kept(tmp_path):
    backbone = KerasFile(path=save_picture_model(tmp_path), layer="pool").load(PIXELS)

    backbone.train_only(backbone.stages[-1:])

    assert [weight.path for weight in cut(backbone.model).prefix.trainable_variables] == []
    assert len(cut(backbone.model).suffix.trainable_variables) == 2


def test_without_pretrained_the_weights_are_not_read(tmp_path):
    source = KerasFile(path=save_picture_model(tmp_path), layer="pool")
    trained = source.load(PIXELS).model.get_weights()

    fresh = source.load(PIXELS, pretrained=False).model.get_weights()

    assert [w.shape for w in fresh] == [w.shape for w in trained]
    assert not np.array_equal(fresh[0], trained[0])


def test_code_in_the_file_never_runs(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "lambda.keras")
    source = KerasFile(path=str(tmp_path / "lambda.keras"))

    for pretrained in (True, False):
        with pytest.raises(BackboneError, match=r"cannot be read: .*ambda.*built-in layers"):
            source.load(PIXELS, pretrained)


def test_what_is_no_keras_file_is_refused(tmp_path):
    (tmp_path / "text.keras").write_text("no zip")

    with pytest.raises(ValidationError, match=r"is no \.keras file"):
        KerasFile(path="old.h5")
    for name, message in {"text": "cannot be read", "missing": "is not a file on this"}.items():
        with pytest.raises(BackboneError, match=message):
            KerasFile(path=str(tmp_path / f"{name}.keras")).load(PIXELS)


def test_a_layer_that_is_not_there_brings_the_nearest(tmp_path):
    source = KerasFile(path=save_picture_model(tmp_path), layer="pol")

    with pytest.raises(BackboneError, match="Did you mean 'pool'"):
        source.load(PIXELS)


def test_inputs_that_do_not_fit_are_refused(tmp_path):
    source = KerasFile(path=save_picture_model(tmp_path), layer="pool")

    with pytest.raises(BackboneError, match=r"takes inputs of shape \(8, 8, 3\), not \(8, 8, 1\)"):
        source.load(tf.TensorSpec((8, 8, 1), tf.uint8))


def test_a_model_with_two_inputs_cannot_be_cut(tmp_path):
    inputs = [keras.Input((8,)), keras.Input((8,))]
    keras.Model(inputs, keras.layers.Add()(inputs)).save(tmp_path / "two.keras")

    with pytest.raises(BackboneError, match="no Sequential or Functional model with one input"):
        KerasFile(path=str(tmp_path / "two.keras")).load(tf.TensorSpec((8,), tf.float32))
