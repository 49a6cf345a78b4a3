"""A time budget makes fine-tuning as long as it allows."""

import random
import time

import pytest
from shown import shown_lines
from tiny import Ramp

from kft.config.recipe import MOST_EPOCHS
from kft.config.run_config import load_config
from kft.workflows.budget import within_budget
from kft.workflows.setup import set_up

SMALL = {"data": {"kind": "tiny:Ramp"}, "backbone": {"kind": "tiny:TinyDense"}}


def fitted(budget, **others):
    config = set_up(load_config({**SMALL, "time_budget": budget, **others})).config
    return within_budget(config, Ramp().load(0), time.monotonic())


@pytest.mark.parametrize(
    ("budget", "epochs", "warm_up"), [("0.1s", 1, 1), ("9999h", MOST_EPOCHS, MOST_EPOCHS / 4)]
)
def test_epochs_are_as_many_as_there_is_time_for(budget, epochs, warm_up):
    config = fitted(budget)

    assert [phase.name for phase in config.phases] == ["head", "finetune"]
    assert config.phases[1].epochs == epochs
    assert config.phases[1].schedule.warmup_epochs == warm_up
    assert config.time_budget is None


def test_too_little_time_is_noted():
    with shown_lines() as lines:
        fitted("0.1s")

    assert any("0.1s is short of the 3 epochs it takes at least" in line for line in lines)


def test_measuring_leaves_the_random_state():
    config = set_up(load_config({**SMALL, "time_budget": "1h"})).config
    before = random.getstate()

    within_budget(config, Ramp().load(0), time.monotonic())

    assert random.getstate() == before


def test_without_a_budget_nothing_is_measured():
    config = set_up(load_config(SMALL)).config

    assert within_budget(config, Ramp().load(0), 0.0) is config


def test_a_backbone_that_cannot_train_has_no_use_for_a_budget():
    with shown_lines() as lines:
        config = fitted("1h", backbone={"kind": "tiny:TinyFrozen"})

    assert (len(config.phases), config.time_budget) == (1, None)
    assert any("nothing but the head can train" in line for line in lines)
