"""What every head promises. A new kind joins by one line in HEADS."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft.data import Target
from kft.errors import ConfigError
from kft.head import Head
from kft.heads.classifier import Classifier
from kft.heads.multilabel import Multilabel
from kft.heads.regressor import Regressor
from kft.scoring.direction import lower_is_better
from kft.settings.catalog import CATALOG

CLASSES = Target("class", ("cat", "dog", "owl"))
LABELS = Target("multilabel", ("red", "round", "new"))
VALUES = Target("value", ("age", "price"), means=(40.0, -2e4), deviations=(10.0, 5e4))
DEEP = {"hidden": (7, 5), "activation": "gelu", "batch_norm": True, "dropout": 0.5, "l2": 0.01}
HEADS = {
    "classifier": (Classifier(), CLASSES),
    "deep classifier": (Classifier(**DEEP), CLASSES),
    "binary classifier": (
        Classifier(dropout=0.0, label_smoothing=0.1),
        Target("class", ("no", "yes")),
    ),
    "multilabel": (Multilabel(label_smoothing=0.1), LABELS),
    "regressor": (Regressor(dropout=0.0), VALUES),
    "regressor by huber": (Regressor(dropout=0.0, error="huber"), Target("value", ("x",))),
}
EACH = pytest.mark.parametrize(("head", "target"), HEADS.values(), ids=HEADS)


def model_of(head, target):
    features = keras.Input((4,))
    return keras.Model(features, head.outputs(features, target))


def examples_of(target):
    """Features that say it all, and dense labels."""
    size = len(target.names)
    patterns = np.eye(size) if target.kind == "class" else np.array([[0] * size, [1] * size])
    rows = patterns[np.arange(30) % len(patterns)].astype("float32")
    inputs = np.pad(rows, ((0, 0), (0, 4 - size)))
    if target.kind == "value":
        rows = rows * np.array(target.deviations or 1.0) + np.array(target.means or 0.0)
    return inputs, rows.astype("float32")


def test_every_kind_of_head_is_in_the_battery():
    assert {*CATALOG["head"]} - {head.kind for head, _ in HEADS.values()} == set()


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
    inputs, labels = examples_of(target)
    model.compile(
        optimizer=keras.optimizers.Adam(0.05), loss=head.loss(target), metrics=head.metrics()
    )
    leading = head.metrics()[0].name
    untrained = model.evaluate(inputs, labels, verbose=0, return_dict=True)

    # One epoch of many steps, since to begin one takes longer than a step.
    many = [np.tile(part, (200, 1)) for part in (inputs, labels)]
    model.fit(*many, batch_size=30, verbose=0)

    trained = model.evaluate(inputs, labels, verbose=0, return_dict=True)
    assert trained["loss"] < untrained["loss"]
    if lower_is_better(leading):
        assert trained[leading] < untrained[leading] / 5
    else:
        assert trained[leading] == 1.0


@EACH
def test_the_loss_of_single_examples_has_the_loss_as_its_mean(head, target):
    inputs, labels = examples_of(target)
    outputs = model_of(head, target)(inputs)

    each = np.asarray(head.loss(target).call(labels, outputs))

    assert each.shape == ((30, 3) if target.kind == "multilabel" else (30,))
    assert float(head.loss(target)(labels, outputs)) == pytest.approx(each.mean(), rel=1e-5)


@EACH
def test_the_first_thing_served_is_the_outputs_as_they_are(head, target):
    outputs = model_of(head, target)(np.ones((2, 4), "float32"))

    served = head.served(outputs, target)

    np.testing.assert_array_equal(next(iter(served.values())), outputs)
    assert {answer.shape for answer in served.values()} == {outputs.shape}


@EACH
def test_a_head_survives_being_written_and_read(head, target):
    again = Head.model_validate(head.model_dump(mode="json", by_alias=True))

    assert again == head


@pytest.mark.parametrize(
    ("head", "target", "message"),
    [
        (Classifier(), VALUES, "'classifier' is for a class target, but .* a value target"),
        (Multilabel(), CLASSES, """a class target. Set head to {"kind": "classifier"}"""),
        (Regressor(), LABELS, """a multilabel target. Set head to {"kind": "multilabel"}"""),
    ],
)
def test_a_head_refuses_a_target_of_another_kind(head, target, message):
    with pytest.raises(ConfigError, match=message):
        head.outputs(keras.Input((4,)), target)


def test_a_regressor_answers_in_the_units_of_the_data_and_its_loss_has_none():
    model = model_of(Regressor(dropout=0.0), VALUES)
    model.set_weights([np.zeros((4, 2)), np.array([1.0, -2.0])])

    answer = model(np.ones((1, 4), "float32"))

    np.testing.assert_allclose(answer, [[50.0, -1.2e5]], rtol=1e-6)
    mean = np.array([VALUES.means], "float32")
    assert float(Regressor().loss(VALUES)(mean, answer)) == pytest.approx((1 + 4) / 2)
    assert float(Regressor(error="huber").loss(VALUES)(mean, answer)) == pytest.approx(1.0)


def test_the_loss_of_values_far_from_nought_is_not_lost_in_rounding():
    far = Target("value", ("seconds",), means=(1e7,), deviations=(3.0,))

    loss = Regressor().loss(far)(np.array([[1e7]], "float32"), np.array([[1e7 + 1]], "float32"))

    assert float(loss) == pytest.approx(1 / 9)


def test_values_in_another_unit_train_in_the_same_way():
    histories = []
    for unit in (1.0, 1e5, 1e-9):
        keras.utils.set_random_seed(0)
        inputs, labels = examples_of(Target("value", ("age", "price")))
        target = Target.of_values(("age", "price"), labels * unit)
        head = Regressor(hidden=(3,), dropout=0.0)
        model = model_of(head, target)
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss=head.loss(target))
        history = model.fit(inputs, labels * unit, epochs=3, verbose=0).history
        histories.append(history["loss"])

    assert histories[1] == pytest.approx(histories[0], rel=1e-4)
    assert histories[2] == pytest.approx(histories[0], rel=1e-4)
    assert histories[0][-1] < histories[0][0]
