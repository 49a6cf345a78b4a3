import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import TinyDense, Vectors, Words, vector_split, word_split

from kft.cache.decode import decode_all
from kft.cache.key import digest_each, digest_layers, digest_model, digests_of, key_of


def model_of(**changed):
    """A small model; what is `changed` is what its outputs depend on."""
    settings = {"units": 3, "activation": "relu", "skip": True, "dtype": "float32", **changed}
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(
        settings["units"],
        activation=settings["activation"],
        dtype=settings["dtype"],
        kernel_initializer="ones",
    )
    x = dense(inputs)
    outputs = keras.layers.Add()([x, x]) if settings["skip"] else keras.layers.Activation(None)(x)
    return keras.Model(inputs, outputs)


def test_the_same_layers_have_the_same_digest_whatever_keras_calls_them():
    first, second = model_of(), model_of()

    assert first.layers[1].name != second.layers[1].name
    assert digest_model(first) == digest_model(second)


@pytest.mark.parametrize(
    "changed",
    [{"units": 4}, {"activation": "tanh"}, {"skip": False}, {"dtype": "bfloat16"}],
    ids=str,
)
def test_other_layers_have_another_digest(changed):
    assert digest_layers(model_of(**changed)) != digest_layers(model_of())


def test_which_variables_train_does_not_matter_but_their_values_do():
    model = model_of()
    before = digest_model(model)

    model.layers[1].trainable = False
    frozen = digest_model(model)
    model.layers[1].bias.assign([0.0, 1e-6, 0.0])
    moved = digest_model(model)

    assert frozen == before
    assert moved.layers == before.layers
    assert moved.weights != before.weights


def test_layers_that_cannot_be_described_have_no_digest():
    class Opaque(keras.Model):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def call(self, inputs):
            return self.function(inputs)

        def get_config(self):
            raise NotImplementedError

    assert digest_layers(Opaque(tf.identity)) is None


def test_an_example_is_told_by_its_numbers_their_shape_and_their_type():
    zeros = [
        np.zeros((1, 4), "uint8"),
        np.zeros((1, 2, 2), "uint8"),
        np.zeros((1, 4), "int8"),
        np.ones((1, 4), "uint8"),
    ]

    digests = {digest_each(inputs).tobytes() for inputs in zeros}

    assert len(digests) == 4


@pytest.mark.parametrize(("make", "input"), [(vector_split, Vectors()), (word_split, Words())])
def test_reading_tells_the_examples_apart(make, input):
    split = make(7)
    decoded = decode_all(split, input, "Reading").decoded

    np.testing.assert_array_equal(decoded.digests, digests_of(split, 3))
    np.testing.assert_array_equal(decoded.take([2, 5]).digests, decoded.digests[[2, 5]])


def test_every_part_of_a_key_counts():
    model = digest_model(TinyDense().load(Vectors().spec).model)
    examples = digests_of(vector_split(4), 4)

    keys = [
        key_of(model, examples, {"row": "f4"}),
        key_of(model, examples, {"row": "f2"}),
        key_of(model, examples[::-1], {"row": "f4"}),
        key_of(model, digests_of(vector_split(4, seed=1), 4), {"row": "f4"}),
        key_of(digest_model(model_of()), examples, {"row": "f4"}),
    ]

    assert len({*keys}) == 5
    assert keys[0] == key_of(model, examples.copy(), {"row": "f4"})
    assert all(len(key) == 40 for key in keys)
