"""What every backbone source must do. A new kind joins by one line in SOURCES."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft.backbone import BackboneSource, batch_norm_variables
from kft.image.applications import KerasApplication

PIXELS = tf.TensorSpec((32, 32, 3), "uint8")

SOURCES = {
    "mobilenet_v3": (KerasApplication(name="MobileNetV3Small"), PIXELS),
    "efficientnet": (KerasApplication(name="EfficientNetB0", batch_norm="inference"), PIXELS),
}


@pytest.fixture(scope="module", params=SOURCES.values(), ids=SOURCES)
def loaded(request):
    source, spec = request.param
    keras.utils.set_random_seed(0)
    return source.load(spec, pretrained=False), spec


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


@pytest.mark.parametrize("source", [source for source, _ in SOURCES.values()], ids=SOURCES)
def test_source_survives_its_config(source):
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
    layer = backbone.applied()

    training = layer(batch_of(spec), training=True)

    np.testing.assert_array_equal(training, layer(batch_of(spec), training=False))
