import sys

import keras
import pytest
import tensorflow as tf

from kft.layers.without_cudnn import without_cudnn


@pytest.mark.parametrize("layer", [keras.layers.LSTM, keras.layers.GRU])
def test_a_recurrent_layer_is_traced_into_ops_that_every_device_has(layer, monkeypatch):
    # By its name, since `keras.src.backend.tensorflow` has a function `rnn` in place of the module.
    rnn = sys.modules["keras.src.backend.tensorflow.rnn"]
    monkeypatch.setattr(rnn, "_is_gpu_available", lambda: True)
    inputs = keras.Input((5, 3))
    inner = keras.Sequential([keras.Input((5, 3)), keras.layers.Bidirectional(layer(4))])
    model = keras.Model(inputs, inner(inputs))

    def ops():
        traced = tf.function(model).get_concrete_function(tf.TensorSpec((None, 5, 3)))
        return {op.type for op in traced.graph.get_operations()}

    assert any("Cudnn" in kind for kind in ops())
    with without_cudnn(model):
        assert not any("Cudnn" in kind for kind in ops())
    assert any("Cudnn" in kind for kind in ops())
