import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError
from tiny import Ramp, tiny_task

from kft.engine.phase_rate import PhaseRate
from kft.errors import ConfigError
from kft.phase import Phase
from kft.recipe.optimizer import Adam, AdamW, Lion, RmsProp, Sgd
from kft.recipe.schedule import Constant, Cosine, Exponential, Plateau
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeFrom, UnfreezeMatch, UnfreezeNone, UnfreezeTop

TUNE = {
    "name": "tune",
    "epochs": 3,
    "optimizer": {"kind": "sgd", "learning_rate": 1e-4, "momentum": 0.9},
    "schedule": {"kind": "cosine", "warmup_epochs": 1},
    "unfreeze": {"kind": "top", "fraction": 0.25},
}


def test_a_phase_survives_being_written_and_read():
    phase = Phase.model_validate(TUNE)

    again = Phase.model_validate_json(phase.model_dump_json(serialize_as_any=True))

    assert again == phase
    assert again.unfreeze == UnfreezeTop(fraction=0.25)


@pytest.mark.parametrize("augment", [None, True, False, [], [{"kind": "flip"}, {"kind": "mild"}]])
def test_the_augment_of_a_phase_survives_being_written_and_read(augment):
    phase = Phase.model_validate(TUNE | {"augment": augment})

    again = Phase.model_validate_json(phase.model_dump_json(serialize_as_any=True))

    assert again == phase


def test_a_fault_in_the_augment_of_a_phase_is_told_once():
    with pytest.raises(ValidationError) as error:
        Phase.model_validate(TUNE | {"augment": [{"kind": "rotate", "degrees": 500}]})

    assert [fault["loc"][-2:] for fault in error.value.errors()] == [(0, "degrees")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "greater than 0"),
        ({"epoch": 3}, "unknown key. Did you mean 'epochs'?"),
        (
            {"unfreeze": {"kind": "topp", "stages": 1}},
            "no unfreeze kind 'topp'. Did you mean 'top'?",
        ),
        ({"unfreeze": {"kind": "top"}}, "needs either 'stages' or 'fraction'"),
        ({"unfreeze": {"kind": "top", "stages": 1, "fraction": 0.5}}, "needs either"),
        ({"unfreeze": {"kind": "match", "pattern": "("}}, "is no regular expression"),
        ({"optimizer": {"kind": "sgd", "learning_rate": 0}}, "greater than 0"),
        ({"name": "a b"}, "should match pattern"),
        ({"clip_norm": float("nan")}, "finite number"),
        ({"layer_decay": 0}, "greater than 0"),
        ({"rate_factors": {"(": 0.1}}, "is no regular expression"),
        ({"ema": 1.0}, "less than 1"),
        ({"ema": 0.9, "swa_epochs": 2}, "both average the weights. Keep one"),
        ({"swa_epochs": 4}, "'swa_epochs' is 4, more than the 3 epochs there are"),
        ({"augment": "mild"}, "should be true, false or a list of augmentations"),
        ({"augment": 1}, "should be true, false or a list of augmentations"),
        ({"augment": [{"kind": "flipp"}]}, "no augmentation kind 'flipp'. Did you mean 'flip'?"),
        ({"mixup": 0.2, "mix_off_epochs": 3}, "leaves none of the 3 epochs to mix in"),
    ],
)
def test_a_bad_phase_is_refused_with_a_reason(change, message):
    with pytest.raises(ValidationError) as error:
        Phase.model_validate(TUNE | change)

    assert message in str(error.value)


@pytest.fixture(scope="module")
def backbone():
    return tiny_task(Ramp().load(0)).backbone


@pytest.mark.parametrize(
    ("unfreeze", "names"),
    [
        (UnfreezeNone(), []),
        (UnfreezeAll(), ["bottom", "top"]),
        (UnfreezeTop(stages=1), ["top"]),
        (UnfreezeTop(fraction=0.5), ["top"]),
        (UnfreezeTop(fraction=0.51), ["bottom", "top"]),
        (UnfreezeTop(fraction=0.01), ["top"]),
        (UnfreezeFrom(stage="bottom"), ["bottom", "top"]),
        (UnfreezeFrom(stage="top"), ["top"]),
        (UnfreezeMatch(pattern="b.*"), ["bottom"]),
    ],
)
def test_an_unfreeze_kind_chooses_its_stages(backbone, unfreeze, names):
    assert [stage.name for stage in unfreeze.choose(backbone)] == names


@pytest.mark.parametrize(
    ("unfreeze", "message"),
    [
        (UnfreezeTop(stages=3), "stages: got 3, but the backbone 'tiny' has 2"),
        (UnfreezeFrom(stage="tob"), "no stage 'tob'. Did you mean 'top'"),
        (UnfreezeMatch(pattern="to"), "matches none of the 2 stages of 'tiny', such as 'bottom'"),
    ],
)
def test_stages_that_are_not_there_are_refused(backbone, unfreeze, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        unfreeze.choose(backbone)


def rates(schedule, epochs=4, steps=10, learning_rate=1.0):
    rate = PhaseRate(learning_rate, schedule, epochs, steps)
    return [float(rate(step)) for step in range(epochs * steps)]


def test_a_constant_rate_is_the_full_rate_from_the_first_step():
    assert rates(Constant()) == [1.0] * 40


def test_warm_up_grows_evenly_to_the_full_rate_and_wastes_no_step():
    found = rates(Constant(warmup_epochs=0.5))

    np.testing.assert_allclose(found[:5], [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-6)
    assert found[5:] == [1.0] * 35


def test_cosine_falls_from_the_full_rate_after_warm_up_to_its_final_share():
    found = rates(Cosine(warmup_epochs=1, final=0.1))

    assert found[9:11] == pytest.approx([1.0, 1.0])
    assert found[25] == pytest.approx(0.55, abs=1e-6)
    assert 0.1 < found[-1] < 0.11
    assert all(a >= b for a, b in zip(found[9:], found[10:], strict=False))


@pytest.mark.parametrize(
    "schedule",
    [Constant(), Cosine(), Exponential(decay=0.5), Plateau()],
    ids=lambda made: made.kind,
)
def test_a_schedule_runs_after_warm_up_as_it_does_without(schedule):
    warmed = schedule.model_copy(update={"warmup_epochs": 1.0})

    found = rates(warmed, epochs=4)

    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(found[10:], rates(schedule, epochs=3), rtol=1e-5)
    assert found[-1] > 0


def test_a_warm_up_may_end_within_an_epoch():
    found = rates(Cosine(warmup_epochs=1.5), epochs=3)

    np.testing.assert_allclose(found[:15], np.arange(1, 16) / 15, rtol=1e-6)
    assert found[15] == pytest.approx(1.0)
    assert found[-1] == pytest.approx((1 + np.cos(np.pi * 14 / 15)) / 2, rel=1e-4)


def test_exponential_multiplies_the_rate_each_epoch():
    found = rates(Exponential(decay=0.5))

    np.testing.assert_allclose(found[::10], [1.0, 0.5, 0.25, 0.125], rtol=1e-6)


def test_a_warm_up_longer_than_the_phase_only_warms_up():
    assert rates(Cosine(warmup_epochs=9), epochs=2)[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "optimizer", [Sgd(), Adam(), AdamW(), RmsProp(), Lion()], ids=lambda made: made.kind
)
def test_an_optimizer_follows_its_schedule_and_bounds_its_gradients(optimizer):
    rate = PhaseRate(optimizer.learning_rate, Exponential(decay=0.5), 2, 1)

    built = optimizer.build(rate, 1.0)

    variable = tf.Variable([0.0])
    assert built.global_clipnorm == 1.0
    built.apply([tf.constant([1e6])], [variable])
    assert float(built.learning_rate) == pytest.approx(optimizer.learning_rate / 2)
    assert abs(float(variable[0])) < 0.05


def test_a_rate_survives_being_saved():
    rate = PhaseRate(0.5, Plateau(factor=0.2, warmup_epochs=1), 3, 7)

    again = PhaseRate.from_config(rate.get_config())

    assert again.schedule == rate.schedule
    assert float(again(3)) == float(rate(3))
