"""Selection: the result is never worse than its parts."""

import numpy as np
import pytest
from tiny import Ramp, same, tiny_task, training, values

from kft.cache.place import CachePolicy
from kft.engine.best import Best, EpochWeights
from kft.engine.selection import changed_stages, check_select, interpolate, keep_epoch, validator
from kft.engine.snapshot import Snapshot
from kft.engine.train import train
from kft.errors import ConfigError
from kft.phase import Phase
from kft.recipe.optimizer import Sgd
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeNone, UnfreezeTop


def phase(name, unfreeze, epochs=1):
    return Phase(name=name, epochs=epochs, optimizer=Sgd(learning_rate=0.05), unfreeze=unfreeze)


HEAD = phase("head", UnfreezeNone(), epochs=2)
TUNE = phase("tune", UnfreezeTop(stages=1), epochs=2)
SPLITS = Ramp().load(0)


def trained(*phases, monitor="accuracy"):
    task = tiny_task(SPLITS)
    how = training(task, SPLITS, monitor=monitor)
    return task, train(how, phases), how.best


@pytest.fixture(scope="module")
def two_phases():
    return trained(HEAD, TUNE, monitor="loss")


def same_as(task, kept):
    return all(same(task.model.variables, [value.numpy() for value in kept.weights.values]))


def scored(task, stages):
    return validator(training(task, SPLITS, cache_policy=CachePolicy()), stages)


def test_every_alpha_is_scored_as_an_epoch_is_and_the_best_is_kept(two_phases):
    task, (head, tuned), best = two_phases
    validate = scored(task, changed_stages(task, [HEAD, TUNE]))

    selected = interpolate(best.before, best.since, best, validate)

    alphas = [scores["alpha"] for scores in selected.sweep]
    losses = [scores["loss"] for scores in selected.sweep]
    assert alphas == pytest.approx(np.linspace(0, 1, 11).tolist())
    assert losses[0] == pytest.approx(head.best["val_loss"], abs=1e-5)
    assert losses[-1] == pytest.approx(tuned.best["val_loss"], abs=1e-5)
    assert selected.alpha == alphas[int(np.argmin(losses))]
    assert validate()["loss"] == pytest.approx(min(losses), abs=1e-6)


def test_weights_between_two_that_erred_to_either_side_are_better_than_both(two_phases):
    """Seen by the whole model, too: all of the backbone counts as changed."""
    task, _, best = two_phases
    ends = []
    for kept, sign in ((best.before, -3.0), (best.since, 3.0)):
        best.before.weights.restore()
        bias = task.head_model.trainable_variables[1]
        bias.assign(bias + [sign, -sign, 0.0])
        ends.append(EpochWeights(kept.record, Snapshot.of(task.model.variables)))
    validate = scored(task, task.backbone.stages)

    selected = interpolate(*ends, best, validate)

    assert 0 < selected.alpha < 1
    assert selected.record is best.since.record
    assert selected.is_fine_tuned
    assert validate()["loss"] < min(selected.sweep[0]["loss"], selected.sweep[-1]["loss"])


def test_of_equals_the_one_nearest_to_the_fine_tuned_is_kept(two_phases):
    task, _, best = two_phases

    selected = interpolate(best.before, best.since, best, lambda: {"loss": 1.0})

    assert selected.alpha == 1.0
    assert same_as(task, best.since)


def test_harm_is_undone_to_the_last_bit(two_phases):
    task, _, best = two_phases
    losses = iter([0.5, *range(1, 11)])

    selected = interpolate(best.before, best.since, best, lambda: {"loss": next(losses)})

    assert selected.alpha == 0.0
    assert selected.record is best.before.record
    assert not selected.is_fine_tuned
    assert same_as(task, best.before)


def test_the_best_and_the_last_epoch_know_where_fine_tuning_began(two_phases):
    task, (head, tuned), best = two_phases
    last = values(task.model.variables)

    kept_last = keep_epoch("last", best, tuned.epochs[-1], 100)
    assert all(same(task.model.variables, last))
    kept_best = keep_epoch("best", best, tuned.epochs[-1], 100)

    assert same_as(task, best.overall)
    assert kept_last.record is tuned.epochs[-1]
    assert kept_best.record == best.among([head.best, tuned.best])
    assert kept_best.start.record == kept_last.start.record == head.best


def best_of(*accuracies, monitor="accuracy"):
    """What is best of epochs with these validation accuracies, and the record of the last."""
    best = Best(tiny_task(SPLITS).model, monitor)
    records = [
        {"epoch": number, "phase": "head", "val_accuracy": accuracy, "val_loss": 1 - accuracy}
        for number, accuracy in enumerate(accuracies, start=1)
    ]
    for record in records:
        best.consider(record)
    return best, records[-1]


@pytest.mark.parametrize(
    ("accuracies", "size", "epoch"),
    [
        ((0.80, 0.70), 20, 2),  # an error of 12 points
        ((0.80, 0.60), 20, 1),
        ((0.80, 0.79), 10_000, 1),  # of 0.6 points
        ((1.0, 0.95), 20, 2),  # all right of a few: another 20 would not be
        ((0.70, 0.80), 20, 2),
    ],
)
def test_auto_takes_the_last_unless_the_best_is_better_by_a_standard_error(accuracies, size, epoch):
    best, last = best_of(*accuracies)

    assert keep_epoch("auto", best, last, size).record["epoch"] == epoch


def test_auto_takes_the_best_by_a_loss_whose_error_is_not_known():
    best, last = best_of(0.80, 0.799, monitor="loss")

    assert keep_epoch("auto", best, last, 20).record["epoch"] == 1


def test_fine_tuning_begins_after_the_first_phase_with_one_that_trains_the_backbone():
    phases = [
        phase("backbone-too", UnfreezeTop(stages=1)),
        phase("head-alone", UnfreezeNone()),
        phase("tune", UnfreezeAll()),
    ]

    _, (first, second, third), best = trained(*phases)

    assert best.before.record == best.among([first.best, second.best])
    assert best.since.record == third.best


@pytest.mark.parametrize("phases", [[TUNE], [HEAD, phase("again", UnfreezeNone())]])
def test_interpolation_needs_fine_tuning(phases):
    task = tiny_task(SPLITS)

    check_select("best", task, phases)
    with pytest.raises(ConfigError, match="select: is 'interpolate', but no phase after the first"):
        check_select("interpolate", task, phases)


def test_stages_that_any_phase_trains_change():
    task = tiny_task(SPLITS)

    assert changed_stages(task, [HEAD]) == []
    assert [stage.name for stage in changed_stages(task, [HEAD, TUNE])] == ["top"]


def test_nothing_is_best_before_the_first_epoch():
    assert Best(tiny_task(SPLITS).model, "loss").record is None
