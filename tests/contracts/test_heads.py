"""What every head promises. A new kind joins by one line in HEADS."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft.data import Target
from kft.errors import ConfigError
from kft.head import Head
from kft.heads.classifier import Classifier

CLASSES = Target("class", ("cat", "dog", "owl"))
HEADS = [
    (Classifier(), CLASSES),
    (Classifier(hidden=(7, 5), activation="gelu", batch_norm=True, dropout=0.5, l2=0.01), CLASSES),
    (Classifier(dropout=0.0, label_smoothing=0.1), Target("class", ("no", "yes"))),
]
EACH = pytest.mark.parametrize(("head", "target"), HEADS, ids=["plain", "deep", "binary"])


def model_of(head, target):
    features = keras.Input((4,))
    return keras.Model(features, head.outputs(features, target))


@EACH
def test_predictions_are_float32_one_for_each_name(head, target):
    model = model_of(head, target)

    outputs = model(np.ones((2, 4), "float32"))

    assert outputs.shape == (2, len(target.names))
    assert outputs.dtype == tf.float32


@EACH
def test_predictions_stay_float32_under_mixed_precision(head, target):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = model_of(head, target)
    finally:
        keras.config.set_dtype_policy("float32")

    assert model.output.dtype == "float32"
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}


@EACH
def test_a_head_learns(head, target):
    keras.utils.set_random_seed(0)
    model = model_of(head, target)
    labels = np.eye(len(target.names), dtype="float32")[np.arange(30) % len(target.names)]
    inputs = np.pad(labels, ((0, 0), (0, 4 - len(target.names))))
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=head.loss(), metrics=head.metrics())

    history = model.fit(inputs, labels, epochs=20, verbose=0).history

    assert history["loss"][-1] < history["loss"][0]
    assert model.evaluate(inputs, labels, verbose=0, return_dict=True)["accuracy"] == 1.0


@EACH
def test_the_first_thing_served_is_the_outputs_as_they_are(head, target):
    outputs = model_of(head, target)(np.ones((2, 4), "float32"))

    served = head.served(outputs, target)

    np.testing.assert_array_equal(next(iter(served.values())), outputs)


@EACH
def test_a_head_survives_being_written_and_read(head, target):
    again = Head.model_validate(head.model_dump(mode="json", by_alias=True))

    assert again == head


def test_a_classifier_refuses_a_target_without_classes():
    with pytest.raises(ConfigError, match="predicts one class, but the data has a value target"):
        Classifier().outputs(keras.Input((4,)), Target("value", ("age",)))
