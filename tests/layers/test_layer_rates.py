"""The update of a variable is its factor times what it would have been, for every optimizer."""

import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft.engine.phase_rate import PhaseRate
from kft.errors import ConfigError
from kft.layers import layer_rates
from kft.layers.layer_rates import depth_factors, scale_updates
from kft.recipe.optimizer import Adam, AdamW, Lion, RmsProp, Sgd
from kft.recipe.schedule import Cosine

STEPS = 5
OPTIMIZERS = [
    Sgd(learning_rate=0.05),
    Sgd(learning_rate=0.05, momentum=0.9),
    Sgd(learning_rate=0.05, momentum=0.9, nesterov=True),
    Adam(learning_rate=0.05),
    AdamW(learning_rate=0.05, weight_decay=0.0),
    RmsProp(learning_rate=0.05),
    RmsProp(learning_rate=0.05, momentum=0.9),
    Lion(learning_rate=0.05),
]


def name(optimizer):
    return f"{optimizer.kind}-{getattr(optimizer, 'momentum', '')}"


def gradients():
    """The same for every run, and too long for the bound of their norm."""
    rng = np.random.default_rng(0)
    return [[tf.constant(rng.normal(0, 3, 4), "float32") for _ in "ab"] for _ in range(STEPS)]


def moved(optimizer, factor=None, start=0.0):
    """Returns how far a lower and an upper variable are moved by `STEPS` steps."""
    lower, upper = keras.Variable([start] * 4), keras.Variable([start] * 4)
    if factor is not None:
        scale_updates(optimizer, [(lower, factor)])
    for gradient in gradients():
        optimizer.apply(gradient, [lower, upper])
    return np.array(lower) - start, np.array(upper) - start


def built(settings, schedule=None):
    return settings.build(PhaseRate(settings.learning_rate, schedule or Cosine(), 1, STEPS), 1.0)


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=name)
def test_a_factor_scales_the_update_and_leaves_the_other_variable_alone(settings):
    whole, other = moved(built(settings))

    scaled, same = moved(built(settings), 0.1)

    np.testing.assert_allclose(scaled, 0.1 * whole, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(same, other)
    assert np.abs(whole).max() > 0.01


def test_a_scaled_step_of_sgd_is_the_rate_times_the_factor_times_the_gradient():
    lower = keras.Variable([1.0, 2.0])
    optimizer = keras.optimizers.SGD(0.5)
    scale_updates(optimizer, [(lower, 0.1)])

    optimizer.apply([tf.constant([1.0, -2.0])], [lower])

    np.testing.assert_allclose(lower, [1 - 0.05, 2 + 0.1], rtol=1e-6)


def test_weight_decay_is_scaled_with_the_rate():
    """Without gradients only the decay moves anything."""
    optimizer = AdamW(learning_rate=0.5, weight_decay=0.2).build(0.5, None)
    lower, upper = keras.Variable([1.0]), keras.Variable([1.0])
    scale_updates(optimizer, [(lower, 0.1)])

    optimizer.apply([tf.zeros(1)] * 2, [lower, upper])

    assert float(lower[0]) == pytest.approx(1 - 0.5 * 0.2 * 0.1)
    assert float(upper[0]) == pytest.approx(1 - 0.5 * 0.2)
    assert float(optimizer.learning_rate) == pytest.approx(0.5)


def test_what_is_excluded_from_weight_decay_stays_so():
    optimizer = AdamW(learning_rate=0.5, weight_decay=0.2).build(0.5, None)
    bias = keras.Variable([1.0])
    optimizer.exclude_from_weight_decay(var_list=[bias])
    scale_updates(optimizer, [(bias, 0.1)])

    optimizer.apply([tf.zeros(1)], [bias])

    assert float(bias[0]) == 1.0


def test_of_two_calls_the_second_holds():
    optimizer = built(Adam(learning_rate=0.05))
    again = built(Adam(learning_rate=0.05))
    scale_updates(optimizer, [(keras.Variable([0.0]), 0.5)])

    np.testing.assert_array_equal(moved(optimizer, 0.1)[0], moved(again, 0.1)[0])


@pytest.mark.parametrize("wrap", [lambda made: made, keras.optimizers.LossScaleOptimizer])
def test_a_fitted_model_trains_each_layer_at_its_rate(wrap):
    """Also behind the loss scale of mixed precision, which wraps the optimizer."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(3)(inputs)))
    start = model.get_weights()

    ends = {}
    for factor in (1.0, 0.1):
        model.set_weights(start)
        optimizer = wrap(keras.optimizers.SGD(0.1))
        scale_updates(optimizer, [(v, factor) for v in model.layers[1].trainable_variables])
        model.compile(optimizer, loss="mse")
        model.fit(np.ones((4, 4)), np.ones((4, 2)), batch_size=4, epochs=1, verbose=0)
        ends[factor] = model.get_weights()

    for at_full, at_tenth, before in list(zip(ends[1.0], ends[0.1], start, strict=True))[:2]:
        np.testing.assert_allclose(at_tenth - before, 0.1 * (at_full - before), atol=1e-7)
        assert np.abs(at_full - before).max() > 1e-3
    np.testing.assert_array_equal(ends[1.0][2], ends[0.1][2])


def test_a_model_saved_with_such_an_optimizer_loads_and_keeps_its_slots(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    scale_updates(optimizer, [(model.layers[1].kernel, 0.1)])
    model.compile(optimizer, loss="mse")
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)

    model.save(tmp_path / "model.keras")

    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is keras.optimizers.SGD
    for a, b in zip(again.optimizer.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [keras.optimizers.Adafactor, keras.optimizers.Ftrl])
def test_an_optimizer_whose_steps_do_not_follow_its_rate_is_refused(kind):
    with pytest.raises(ConfigError, match=f"optimizer {kind.__name__}: has no step in proportion"):
        scale_updates(kind(0.1), [])


def test_the_stage_below_the_head_has_the_decay_once_and_each_below_it_once_more():
    assert depth_factors(3, 0.5) == [0.125, 0.25, 0.5]
    assert depth_factors(2, 1.0) == [1.0, 1.0]


def test_the_example_in_the_documentation_runs():
    result = doctest.testmod(layer_rates)

    assert (result.attempted, result.failed) == (7, 0)
