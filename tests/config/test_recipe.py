"""The default recipe follows from what is known before training."""

import math
from dataclasses import replace

import pytest

from kft.config.recipe import (
    FEWEST_EPOCHS,
    MOST_EPOCHS,
    MOST_HEAD_EPOCHS,
    Facts,
    default_recipe,
    reasons,
)

FEW = Facts(examples=300, batch_size=32, batch_norm=True, trains=True, augments=True)


def epochs(effort, examples):
    head, finetune = default_recipe(effort, replace(FEW, examples=examples))
    return head.epochs, finetune.epochs


def test_the_head_comes_first_on_exact_features_and_then_everything_augmented():
    head, finetune = default_recipe("normal", FEW)

    assert (head.unfreeze.kind, finetune.unfreeze.kind) == ("none", "all")
    assert (head.augment, finetune.augment) == (False, True)


@pytest.mark.parametrize("effort", ["quick", "normal", "best"])
def test_more_data_means_fewer_epochs_but_more_steps(effort):
    sizes = (100, 1_000, 10_000, 100_000)
    tuned = [epochs(effort, size)[1] for size in sizes]

    assert tuned == sorted(tuned, reverse=True)
    steps = [size * each for size, each in zip(sizes, tuned, strict=True)]
    assert steps == sorted(steps)


def test_more_effort_is_longer():
    quick, normal, best = (epochs(effort, 300)[1] for effort in ("quick", "normal", "best"))

    assert quick < normal < best


@pytest.mark.parametrize(("examples", "bound"), [(4, MOST_EPOCHS), (10**7, FEWEST_EPOCHS)])
def test_epochs_have_bounds(examples, bound):
    head, tuned = epochs("best", examples)

    assert tuned == bound
    assert head <= MOST_HEAD_EPOCHS


@pytest.mark.parametrize(
    ("effort", "examples", "steps"),
    [("quick", 35, 28), ("normal", 35, 30), ("normal", 300, 35), ("best", 3_000, 305.5)],
)
def test_the_rate_grows_over_a_quarter_and_over_30_steps_at_least(effort, examples, steps):
    """Over 7 steps of 28, the loss of 35 easy pictures blew up and the run ended in an error."""
    _, finetune = default_recipe(effort, replace(FEW, examples=examples))

    each = math.ceil(examples / FEW.batch_size)
    assert finetune.schedule.warmup_epochs * each == pytest.approx(steps)


def test_a_backbone_without_batch_norm_has_a_lower_rate():
    _, normalised = default_recipe("normal", FEW)
    _, other = default_recipe("normal", replace(FEW, batch_norm=False))

    assert other.optimizer.learning_rate < normalised.optimizer.learning_rate / 2


def test_a_backbone_that_cannot_train_has_the_head_phase_alone():
    (head,) = default_recipe("normal", replace(FEW, trains=False))

    assert head.name == "head"
    assert "cannot be trained" in reasons("normal", replace(FEW, trains=False))


def test_an_input_that_augments_nothing_is_left_as_it_is():
    phases = default_recipe("normal", replace(FEW, augments=False))

    assert [phase.augment for phase in phases] == [None, None]


def test_the_reasons_have_the_epochs():
    head, finetune = default_recipe("normal", FEW)

    assert f"{head.epochs} and {finetune.epochs} epochs" in reasons("normal", FEW)
