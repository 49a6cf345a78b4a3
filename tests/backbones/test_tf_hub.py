from __future__ import annotations

import sys

import hub_modules
import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError
from tiny import Vectors, Words, values

from kft.backbones.tf_hub import TfHub
from kft.errors import BackboneError, ConfigError
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeMatch, UnfreezeNone

VECTORS = Vectors().spec
STATISTICS = {"block1.norm.mean", "block1.norm.variance"}


@pytest.fixture(scope="module")
def reusable(tmp_path_factory):
    return hub_modules.save_reusable(tmp_path_factory.mktemp("reusable"))


@pytest.fixture(scope="module")
def doubles(tmp_path_factory):
    return hub_modules.save_doubles(tmp_path_factory.mktemp("doubles"))


def rows(size=6):
    return np.random.default_rng(0).normal(0, 1, (size, 8)).astype("float32")


def changed_by_training(backbone, unfreeze):
    """Trains for one step; the names of the backbone's variables that moved."""
    backbone.train_only(unfreeze.choose(backbone))
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(1)(backbone.applied()(inputs)))
    model.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=True)
    before = values(backbone.model.variables)
    model.train_on_batch(rows(), np.arange(6.0)[:, None])
    pairs = zip(backbone.model.variables, before, strict=True)
    return {variable.name for variable, old in pairs if not np.array_equal(variable, old)}


@pytest.mark.parametrize(
    ("settings", "unfreeze", "expected"),
    [
        ({}, UnfreezeNone(), set()),
        ({}, UnfreezeMatch(pattern="block2"), {"block2.kernel", "block2.bias"}),
        ({"trainable": ".*/kernel"}, UnfreezeAll(), {"block1.kernel", "block2.kernel"}),
        (
            {},
            UnfreezeAll(),
            {"block1.kernel", "block2.kernel", "block2.bias", "table.rows"},
        ),
        (
            {"batch_norm": "inference", "trainable": "block1/.*"},
            UnfreezeAll(),
            {"block1.kernel", "block1.norm.gamma"},
        ),
        (
            {"batch_norm": "train", "trainable": "block1/kernel"},
            UnfreezeAll(),
            {"block1.kernel", *STATISTICS},
        ),
        ({"batch_norm": "train"}, UnfreezeNone(), set()),
    ],
    ids=lambda value: value.kind if hasattr(value, "kind") else None,
)
def test_training_changes_exactly_the_variables_asked_for(reusable, settings, unfreeze, expected):
    backbone = TfHub(handle=reusable, **settings).load(VECTORS)

    changed = changed_by_training(backbone, unfreeze)

    assert changed == expected


def test_regularisation_counts_while_anything_is_unfrozen(reusable):
    backbone = TfHub(handle=reusable).load(VECTORS)
    layer, kernel = backbone.applied(), named(backbone, "block2.kernel")

    losses = {}
    for number, stages in enumerate([(), backbone.stages]):
        backbone.train_only(stages)
        layer(rows(), training=True)
        losses[number] = [float(loss) for loss in layer.losses]

    assert losses[0] == []
    assert losses[1] == [pytest.approx(0.1 * np.sum(np.square(kernel)), rel=1e-5)]


def named(backbone, name):
    return next(variable for variable in backbone.model.variables if variable.name == name)


def test_dropout_of_the_training_trace_runs_only_in_training_and_unfrozen(doubles):
    backbone = TfHub(handle=doubles).load(VECTORS)
    layer, calm = backbone.applied(), 2 * rows()

    backbone.train_only(())
    frozen = layer(rows(), training=True)
    backbone.train_only(backbone.stages)
    inference, unfrozen = layer(rows(), training=False), layer(rows(), training=True)

    np.testing.assert_allclose(frozen, calm, rtol=1e-6)
    np.testing.assert_allclose(inference, calm, rtol=1e-6)
    assert np.mean(np.asarray(unfrozen) == 0) > 0.2


def test_statistics_that_are_kept_keep_dropout_off(reusable):
    backbone = TfHub(handle=reusable).load(VECTORS)
    backbone.train_only(backbone.stages)
    layer = backbone.applied()

    np.testing.assert_array_equal(layer(rows(), training=True), layer(rows(), training=False))


def test_strings_go_through_a_table_and_a_named_output(tmp_path):
    source = TfHub(handle=hub_modules.save_words(tmp_path), output="default")
    backbone = source.load(Words().spec)

    given = backbone.model(tf.constant(["low", "high", "of this, nothing"]))

    rows = backbone.model.variables[0].numpy()
    np.testing.assert_array_equal(given, rows[[0, 2, 3]])


def test_bytes_are_scaled_to_the_range_that_the_module_takes(doubles):
    bytes_ = np.arange(8, dtype="uint8")[None] * 36

    for low, high in ((0, 1), (-1, 1)):
        source = TfHub(handle=doubles, input_range=(low, high))
        given = source.load(tf.TensorSpec((8,), tf.uint8)).model(bytes_)
        np.testing.assert_allclose(given, 2 * (low + bytes_ / 255 * (high - low)), atol=1e-6)


def test_features_whose_size_the_graph_does_not_say_are_asked_for(tmp_path):
    backbone = TfHub(handle=hub_modules.save_doubles(tmp_path, of_unknown_size)).load(VECTORS)

    assert backbone.model.output_shape == (None, 8)
    np.testing.assert_allclose(backbone.model(rows()), 2 * rows(), rtol=1e-6)


def of_unknown_size(x):
    eight = tf.random.uniform((), 8, 9, "int32")
    return tf.ensure_shape(tf.reshape(x, [-1, eight]), [None, None])


def test_a_module_that_takes_other_inputs_says_which(reusable):
    with pytest.raises(BackboneError, match=r"float32 \(batch, 7\); it takes float32 \(None, 8\)"):
        TfHub(handle=reusable).load(tf.TensorSpec((7,), tf.float32))


def test_a_module_with_named_outputs_wants_one_chosen(tmp_path):
    source = TfHub(handle=hub_modules.save_words(tmp_path))

    with pytest.raises(BackboneError, match="gives the outputs default, and backbone.output is No"):
        source.load(Words().spec)


def test_a_pattern_that_matches_no_variable_is_refused(reusable):
    with pytest.raises(BackboneError, match="matches no variable that may train, such as 'block1/"):
        TfHub(handle=reusable, trainable="block7/.*").load(VECTORS)


def test_a_served_model_says_that_it_cannot_be_fine_tuned(tmp_path):
    path = hub_modules.save_signature_only(tmp_path)
    frozen = TfHub(handle=path, signature="serving_default", output="features").load(VECTORS)

    np.testing.assert_array_equal(frozen.model(rows()), rows())
    with pytest.raises(BackboneError, match=r"no __call__, only signatures \(serving_default\)"):
        TfHub(handle=path).load(VECTORS)
    with pytest.raises(ConfigError, match=r"fine-tuned: it is called by its signature 'serving_d"):
        UnfreezeAll().choose(frozen)
    with pytest.raises(BackboneError, match="one of: serving_default"):
        TfHub(handle=path, signature="serve").load(VECTORS)


class Plain(tf.Module):
    """Trains in TensorFlow, but a file of it does not say which variables its maker trains."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(tf.ones((8, 3)))

    @tf.function(input_signature=[tf.TensorSpec((None, 8))])
    def __call__(self, inputs):
        return inputs @ self.kernel


def test_a_module_saved_without_its_list_of_variables_says_what_it_lacks(tmp_path):
    tf.saved_model.save(Plain(), str(tmp_path))
    frozen = TfHub(handle=str(tmp_path)).load(VECTORS)

    np.testing.assert_allclose(frozen.model(rows()), rows() @ np.ones((8, 3)), atol=1e-6)
    with pytest.raises(ConfigError, match="was saved without a list of trainable_variables"):
        UnfreezeAll().choose(frozen)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_module_of_tensorflow_1_is_features_only(tmp_path):
    path = hub_modules.save_first_generation(tmp_path)

    backbone = TfHub(handle=path, output="default").load(VECTORS)

    np.testing.assert_allclose(backbone.model(rows()), 3 * rows(), rtol=1e-6)
    with pytest.raises(ConfigError, match="cannot be fine-tuned: it is a module of TensorFlow 1"):
        UnfreezeAll().choose(backbone)


def test_what_cannot_be_done_is_refused_in_the_config():
    with pytest.raises(ValidationError, match="is not https"):
        TfHub(handle="http://tfhub.dev/google/x/1")
    with pytest.raises(ValidationError, match="is no regular expression"):
        TfHub(handle="here", trainable="(")
    with pytest.raises(ValidationError, match="SavedModel cannot be recomputed"):
        TfHub(handle="here", batch_norm="recalibrate")


def test_a_local_module_never_imports_tensorflow_hub(reusable, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)  # importing it would fail
    monkeypatch.setitem(sys.modules, "tf_keras", None)

    assert TfHub(handle=reusable).load(VECTORS).stages
