"""Which tolerance holds where, with products of rounded factors standing for TF32."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tf32 import multiplying_in_tf32

from kft.image.applications import KerasApplication
from kft.rounding import SAME_MODEL, arithmetic, between_devices, on_one_cpu, opened_again


def layer(precision):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype=precision)])


@pytest.mark.parametrize(
    ("precision", "tight", "loose"),
    [("float32", 1e-5, 2e-2), ("mixed_float16", 5e-3, 2e-2), ("mixed_bfloat16", 5e-2, 1e-1)],
)
def test_two_answers_of_a_cpu_are_nearer_than_those_of_two_devices(precision, tight, loose):
    model = layer(precision)

    assert on_one_cpu(model) == opened_again(model, elsewhere=False) == tight
    assert between_devices(model) == opened_again(model, elsewhere=True) == loose


@pytest.mark.parametrize(
    ("capability", "enabled", "expected", "allowed"),
    [
        ((9, 0), True, "GPU with TF32", (2e-2, 2e-2)),
        ((8, 0), False, "GPU", (1e-4, 2e-2)),
        ((7, 5), True, "GPU", (1e-4, 2e-2)),
        (None, True, "GPU", (1e-4, 2e-2)),
    ],
    ids=["hopper", "ampere without", "turing", "no capability"],
)
def test_a_gpu_rounds_as_it_multiplies(capability, enabled, expected, allowed, monkeypatch):
    details = {} if capability is None else {"compute_capability": capability}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    tf.config.experimental.enable_tensor_float_32_execution(enabled)
    models = layer("float32"), layer("mixed_float16")
    try:
        assert arithmetic() == expected
        assert tuple(opened_again(model, elsewhere=False) for model in models) == allowed
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(True)


def test_features_in_tf32_are_taken_for_those_of_the_same_model():
    source = KerasApplication(name="MobileNetV2", weights="bundled")
    model = source.load(tf.TensorSpec((96, 96, 3), tf.uint8)).model
    inputs = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3)).repeat(16, 1).repeat(16, 2)

    exact = model(inputs, training=False).numpy()
    with multiplying_in_tf32():
        rounded = model(inputs, training=False).numpy()

    shares = np.linalg.norm(rounded - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert shares.min() > 1e-4
    assert shares.max() < SAME_MODEL / 5
