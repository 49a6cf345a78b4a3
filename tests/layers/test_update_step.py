"""What is done to an update before Keras makes it, and in which order."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft.layers.update_step import (
    L2SP,
    RateFactors,
    StepCounts,
    by_key,
    chain_of,
)


def test_l2_sp_is_the_gradient_of_half_the_squared_distance_times_the_strength():
    """With plain SGD, at the rate of the variable, which is added later."""
    near, far = keras.Variable([2.0, 3.0]), keras.Variable([2.0, 3.0])
    optimizer = keras.optimizers.SGD(0.1)
    anchors = by_key(optimizer, [(near, tf.constant([1.0, 1.0]))])
    chain_of(optimizer).add(L2SP(anchors, 0.5))
    chain_of(optimizer).add(RateFactors(by_key(optimizer, [(near, 0.2)])))

    optimizer.apply([tf.constant([1.0, -1.0])] * 2, [near, far])

    np.testing.assert_allclose(near, [2 - 0.02 * (1 + 0.5), 3 - 0.02 * (-1 + 1.0)], rtol=1e-6)
    np.testing.assert_allclose(far, [2 - 0.1, 3 + 0.1], rtol=1e-6)


def test_an_adaptive_optimizer_does_not_rescale_the_pull():
    variable, other = keras.Variable([2.0]), keras.Variable([2.0])
    optimizer = keras.optimizers.Adam(0.1)
    chain_of(optimizer).add(L2SP(by_key(optimizer, [(variable, tf.ones(1))]), 0.5))

    optimizer.apply([tf.constant([100.0])] * 2, [variable, other])

    assert float(other[0]) - float(variable[0]) == pytest.approx(0.1 * 0.5 * 1.0, rel=1e-5)


def test_of_two_transforms_of_a_kind_the_second_holds():
    variable = keras.Variable([0.0])
    optimizer = keras.optimizers.SGD(1.0)

    for factor in (0.5, 0.1):
        wrapped = keras.optimizers.LossScaleOptimizer(optimizer)
        chain_of(wrapped).add(RateFactors(by_key(wrapped, [(variable, factor)])))
    optimizer.apply([tf.ones(1)], [variable])

    assert float(variable[0]) == pytest.approx(-0.1)


def test_to_look_at_the_transforms_changes_nothing():
    optimizer = keras.optimizers.SGD(1.0)
    before = dict(vars(optimizer))

    assert chain_of(optimizer).transforms == {}
    assert vars(optimizer) == before


def test_a_variable_that_began_anew_is_corrected_as_if_it_were_alone():
    late, alone = keras.Variable([0.0]), keras.Variable([0.0])
    optimizer, fresh = keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.1)
    optimizer.build([late])
    optimizer.iterations.assign(1000)
    chain_of(optimizer).add(StepCounts(by_key(optimizer, [(late, -1000)])))

    optimizer.apply([tf.ones(1)], [late])
    fresh.apply([tf.ones(1)], [alone])

    np.testing.assert_allclose(late, alone, rtol=1e-6)
    assert int(optimizer.iterations) == 1001


def test_an_optimizer_with_a_weight_decay_of_its_own_applies_it_at_the_rate_of_the_variable():
    """Keras's Muon decays some variables by another share; without gradients that is all."""
    slow, fast = (keras.Variable([[1.0, 1.0]], name=name) for name in ("slow", "fast"))
    optimizer = keras.optimizers.Muon(0.5, weight_decay=0.2)
    chain_of(optimizer).add(RateFactors(by_key(optimizer, [(slow, 0.1)])))

    optimizer.apply([tf.zeros((1, 2))] * 2, [slow, fast])

    lost, whole = 1 - np.asarray(slow), 1 - np.asarray(fast)
    assert whole.min() > 0
    np.testing.assert_allclose(lost, 0.1 * whole, rtol=1e-5)
