"""What state one optimizer transfers to the next."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft.engine.optimizer_state import (
    restore_outside_variables,
    resume_from,
    state_outside_variables,
    transfer_state,
)
from kft.engine.phase_rate import PhaseRate
from kft.recipe.optimizer import Adam, AdamW, Lion, RmsProp, Sgd
from kft.recipe.schedule import Constant

KINDS = [
    Sgd(momentum=0.9, nesterov=True),
    Sgd(),
    Adam(),
    AdamW(weight_decay=0.1),
    RmsProp(momentum=0.5),
    Lion(),
]


def built(kind, variables):
    optimizer = kind.build(PhaseRate(0.01, Constant(), 1, 1), None)
    optimizer.build(variables)
    return optimizer


def variables():
    return [keras.Variable([1.0, -2.0], name="same"), keras.Variable([3.0, 0.5], name="same")]


def steps(optimizer, variables, numbers):
    """Takes steps by gradients that differ from step to step, and returns where each led."""
    path = []
    for number in numbers:
        gradients = [tf.constant([np.sin(number), 3.0 / (number + 1)], tf.float32)]
        optimizer.apply(gradients * len(variables), variables)
        path.append([variable.numpy() for variable in variables])
    return np.asarray(path)


@pytest.mark.parametrize("hand", [transfer_state, resume_from], ids=lambda hand: hand.__name__)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: repr(kind)[:24])
def test_each_variable_goes_on_as_if_it_had_an_optimizer_of_its_own(kind, hand):
    """One has taken seven steps when the other joins; then both take ten, and three more."""
    (early, late), (early_alone, late_alone) = variables(), variables()
    first = built(kind, [early])
    steps(first, [early], range(7))
    second, third = built(kind, [late, early]), built(kind, [early, late])

    hand(first, second)
    found = steps(second, [late, early], range(7, 17))
    hand(second, third)
    more = steps(third, [early, late], range(17, 20))

    alone = built(kind, [early_alone])
    steps(alone, [early_alone], range(7))
    np.testing.assert_allclose(
        found[:, 1], steps(alone, [early_alone], range(7, 17))[:, 0], rtol=1e-5
    )
    np.testing.assert_allclose(more[:, 0], steps(alone, [early_alone], range(17, 20))[:, 0], 1e-5)
    fresh = built(kind, [late_alone])
    np.testing.assert_allclose(
        found[:, 0], steps(fresh, [late_alone], range(7, 17))[:, 0], rtol=1e-5
    )
    np.testing.assert_allclose(more[:, 1], steps(fresh, [late_alone], range(17, 20))[:, 0], 1e-5)


def test_an_optimizer_of_another_kind_begins_anew():
    (variable, _) = variables()
    old, new = built(Adam(), [variable]), built(AdamW(), [variable])
    steps(old, [variable], range(3))

    transfer_state(old, new)

    assert not any(np.any(slot.numpy()) for slot in new.variables)


def test_the_phase_goes_on_with_its_count_and_the_scale_of_its_rate():
    (variable, _) = variables()
    old, new = built(Sgd(), [variable]), built(Sgd(), [variable])
    steps(old, [variable], range(3))
    old._learning_rate.scale.assign(0.25)

    resume_from(old, new)

    assert int(new.iterations) == 3
    assert float(new.learning_rate) == pytest.approx(0.0025)


def test_a_restored_optimizer_has_the_counts_and_rate_that_its_variables_do_not_hold():
    (early, late), (early_again, late_again) = variables(), variables()
    first = built(Adam(), [early])
    steps(first, [early], range(7))
    joined, restored = built(Adam(), [early, late]), built(Adam(), [early_again, late_again])
    transfer_state(first, joined)
    joined._learning_rate.scale.assign(0.25)
    for variable, value in zip(restored.variables, joined.variables, strict=True):
        variable.assign(value)
    early_again.assign(early)

    restore_outside_variables(restored, json.loads(json.dumps(state_outside_variables(joined))))

    np.testing.assert_array_equal(
        steps(restored, [early_again, late_again], range(7, 12)),
        steps(joined, [early, late], range(7, 12)),
    )


def test_slots_are_found_inside_an_optimizer_that_scales_the_loss():
    (variable, _) = variables()
    old, new = built(Adam(), [variable]), built(Adam(), [variable])
    steps(old, [variable], range(3))
    scaled = [keras.optimizers.LossScaleOptimizer(inner) for inner in (old, new)]

    transfer_state(*scaled)

    assert np.array_equal(new._velocities[0].numpy(), old._velocities[0].numpy())


def test_adam_still_counts_the_steps_of_all_variables_together():
    """Keras 3.15: a variable that joins late takes far too large a step."""
    early, late = variables()
    adam = keras.optimizers.Adam(0.01)
    adam.build([early, late])
    adam.iterations.assign(10_000)

    before = late.numpy()
    adam.apply([tf.ones(2)], [late])

    assert np.all(before - late.numpy() > 0.025)
