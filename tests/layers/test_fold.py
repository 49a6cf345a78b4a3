"""Batch normalisation folded into the convolution before it."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft.layers.fold import foldable, infer

layers = keras.layers
Graph = Callable[[keras.KerasTensor], keras.KerasTensor]


def model_of(graph: Graph) -> keras.Model:
    """Returns the model of `graph`, its normalisations as if trained."""
    inputs = keras.Input((7, 6, 3))
    model = keras.Model(inputs, graph(inputs))
    chance = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(chance.uniform(0.5, 1.5, variable.shape) * chance.choice([1, 0.7]))
    return model


def images(size: int = 4) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).normal(size=(size, 7, 6, 3)), "float32")


def norm(**settings: object) -> layers.Layer:
    return layers.BatchNormalization(**settings)


FOLDED: dict[str, Graph] = {
    "convolution": lambda x: norm()(layers.Conv2D(4, 3)(x)),
    "same padding and strides": lambda x: norm()(layers.Conv2D(4, 3, 2, "same")(x)),
    "groups": lambda x: norm()(layers.Conv2D(6, 3, groups=3)(x)),
    "dilation": lambda x: norm()(layers.Conv2D(4, 2, dilation_rate=2, use_bias=False)(x)),
    "depthwise": lambda x: norm()(layers.DepthwiseConv2D(3, depth_multiplier=2)(x)),
    "no gamma": lambda x: norm(scale=False)(layers.Conv2D(4, 3)(x)),
    "no beta": lambda x: norm(center=False, epsilon=0.1)(layers.Conv2D(4, 3)(x)),
}
NOT_FOLDED: dict[str, Graph] = {
    "activation between": lambda x: norm()(layers.Conv2D(4, 3, activation="relu")(x)),
    "output used twice": lambda x: (lambda y: layers.Add()([norm()(y), y]))(layers.Conv2D(4, 3)(x)),
    "another axis": lambda x: norm(axis=1)(layers.Conv2D(4, 3)(x)),
    "another precision": lambda x: norm(dtype="mixed_bfloat16")(layers.Conv2D(4, 3)(x)),
    "half weights": lambda x: norm(dtype="bfloat16")(layers.Conv2D(4, 3, dtype="bfloat16")(x)),
    "no convolution": lambda x: norm()(x),
}


def called_twice(x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns what one convolution gives to two normalisations, in two calls."""
    convolution = layers.Conv2D(3, 3, padding="same")
    return norm()(convolution(norm()(convolution(x))))


NOT_FOLDED["called twice"] = called_twice


@pytest.mark.parametrize("graph", FOLDED.values(), ids=FOLDED)
def test_folded_gives_what_the_model_gives(graph: Graph) -> None:
    model, inputs = model_of(graph), images()

    assert len(foldable(model)) == 1
    np.testing.assert_allclose(infer(model, inputs), model(inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("kind", [layers.Conv2D, layers.DepthwiseConv2D])
def test_half_precision_is_folded_and_rounds_no_worse(policy: str, kind: type) -> None:
    def graph(x: keras.KerasTensor, policy: str = policy) -> keras.KerasTensor:
        settings = {"filters": 4} if kind is layers.Conv2D else {}
        return norm(dtype=policy)(kind(kernel_size=3, dtype=policy, **settings)(x))

    model, inputs = model_of(graph), images()
    exact = model_of(lambda x: graph(x, "float32"))(inputs)

    def error(outputs: tf.Tensor) -> float:
        return float(np.abs(tf.cast(outputs, "float32") - exact).mean())

    assert len(foldable(model)) == 1
    assert infer(model, inputs).dtype == model(inputs).dtype
    assert 0 < error(infer(model, inputs)) < 1.5 * error(model(inputs, training=False))


@pytest.mark.parametrize("graph", NOT_FOLDED.values(), ids=NOT_FOLDED)
def test_anything_else_is_called_as_it_is(graph: Graph) -> None:
    model, inputs = model_of(graph), images()

    assert foldable(model) == []
    np.testing.assert_array_equal(infer(model, inputs), model(inputs, training=False))


def test_gradients_reach_the_weights_as_through_the_model() -> None:
    model, inputs = model_of(FOLDED["depthwise"]), images()

    def gradients(call: Callable[[tf.Tensor], tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(call(inputs) ** 2)
        return list(tape.gradient(loss, [weight.value for weight in model.trainable_variables]))

    folded = gradients(lambda x: infer(model, x))

    assert len(folded) == 4
    for mine, theirs in zip(folded, gradients(model), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_weights_are_those_of_the_moment_not_of_the_tracing() -> None:
    model, inputs = model_of(FOLDED["convolution"]), images()
    traced = tf.function(lambda x: infer(model, x))
    before = traced(inputs).numpy()

    for weight in model.variables:
        weight.assign(weight * 1.5)

    assert not np.allclose(traced(inputs), before)
    np.testing.assert_allclose(traced(inputs), model(inputs), rtol=1e-4, atol=1e-4)


def test_normalisations_apart_see_what_the_convolution_gives() -> None:
    model, inputs = model_of(FOLDED["convolution"]), images()
    (_, apart), seen = foldable(model)[0], []
    vars(apart)["call"] = lambda x, **_: seen.append(x) or x

    infer(model, inputs, [apart])

    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], model.layers[1](inputs))


def test_a_model_with_several_inputs_and_outputs_keeps_them() -> None:
    first, second = keras.Input((7, 6, 3)), keras.Input((7, 6, 3))
    found = norm()(layers.Conv2D(4, 3)(first))
    model = keras.Model([first, second], [found, layers.ReLU()(second)])

    outputs = infer(model, [images(), images()])

    for mine, theirs in zip(outputs, model([images(), images()]), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_all_of_mobilenet_is_folded() -> None:
    model = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.35
    )

    assert len(foldable(model)) == 52


def test_autograph_has_nothing_to_say_of_it(caplog: pytest.LogCaptureFixture) -> None:
    model = model_of(FOLDED["convolution"])

    tf.function(lambda x: infer(model, x))(images())

    assert caplog.text == ""
