"""The learning-rate finder: what it suggests, and that it leaves no trace."""

import json
import random
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from tiny import Noise, Ramp, Varied, Vectors, same, tiny_task, training, values
from tiny_runs import config
from two_devices import DEVICES

from kft.cli.main import main
from kft.engine.random_state import preserve_random_state
from kft.engine.step import pretrained_values
from kft.engine.train import train
from kft.errors import ConfigError, TrainingError
from kft.finder.found_rate import FoundRate
from kft.finder.range_test import find_learning_rate
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.recipe.optimizer import AdamW
from kft.recipe.unfreeze import UnfreezeNone, UnfreezeTop
from kft.workflows.lr_find import find_rate, free_name, lr_find, refuse_taken, write_found

HEAD = Phase(name="head", epochs=1, optimizer=AdamW(learning_rate=0.01), unfreeze=UnfreezeNone())


def draws():
    """One number of every global random state."""
    made = keras.random.normal(()), tf.random.normal(())
    return random.random(), np.random.rand(), *map(float, made)


def line(weights=None, optimizer=None):
    """A line through points, its optimizer with a momentum that is not zero."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.1), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    if weights is not None:
        model.set_weights(weights)
    return model


def points():
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, x @ np.array([[1.0], [2.0]], "float32"))).batch(8)


def test_any_compiled_model_goes_on_as_if_nothing_had_been():
    keras.utils.set_random_seed(1)
    model, batches = line(), points()
    model.fit(batches, shuffle=False, verbose=0)
    everything = [*model.variables, *model.optimizer.variables]
    before, history, step = values(everything), model.history, model.train_function

    found = find_learning_rate(model, batches)

    assert len(found.rates) > 50
    assert all(same(everything, before))
    assert [*model.variables, *model.optimizer.variables] == everything
    assert (model.history, model.train_function) == (history, step)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    model.fit(batches, shuffle=False, verbose=0)
    assert not all(same(everything, before))


def test_the_global_random_states_stay_as_they_are():
    keras.utils.set_random_seed(1)
    expected = draws()
    keras.utils.set_random_seed(1)

    with preserve_random_state():
        draws()
        keras.utils.set_random_seed(5)
        draws()

    assert draws() == expected


def test_the_suggestion_trains_and_ten_times_the_lowest_does_not():
    keras.utils.set_random_seed(1)
    model = line(optimizer=keras.optimizers.SGD(1.0))
    weights, batches = model.get_weights(), points()
    start = model.evaluate(batches, verbose=0)

    found = find_learning_rate(model, batches)

    def after(rate):
        trained = line(weights, keras.optimizers.SGD(rate))
        trained.fit(batches, epochs=2, shuffle=False, verbose=0)
        return trained.evaluate(batches, verbose=0)

    assert found.recommended <= min(found.tenth, found.steepest)
    assert after(found.recommended) < start / 2
    assert not after(100 * found.tenth) < start
    assert found.rates[-1] < 10.0


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(ConfigError, match="not compiled"):
        find_learning_rate(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), points())
    with pytest.raises(ConfigError, match="got rates from 1 to 0.1 in 100 steps"):
        find_learning_rate(line(), points(), lowest=1.0, highest=0.1)
    nothing = points().map(lambda x, y: (x, y * float("nan")))
    with pytest.raises(TrainingError, match="not a number after 0 steps"):
        find_learning_rate(line(), nothing)


@pytest.mark.parametrize("unfreeze", [UnfreezeNone(), UnfreezeTop(stages=1)], ids=lambda x: x.kind)
def test_a_phase_ends_with_the_same_weights_after_a_test_as_without(unfreeze):
    """With dropout in the head, on kept features; AdamW leaves biases out of its decay."""
    weights, found = [], None
    splits = Ramp().load(0)
    phase = HEAD.model_copy(update={"unfreeze": unfreeze})
    for is_tested in (False, True):
        task = tiny_task(splits, Classifier(dropout=0.5))
        if is_tested:
            found = find_rate(training(task, splits), phase)
        train(training(task, splits), [phase])
        weights.append(values(task.model.variables))

    assert found.rates[0] == pytest.approx(1e-7)
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_a_test_augments_as_its_phase_says():
    splits = Ramp(input=Varied()).load(0)

    losses = [
        find_rate(training(tiny_task(splits), splits), HEAD.model_copy(update=update)).losses[0]
        for update in ({}, {"augment": False}, {"augment": (Noise(),)})
    ]

    assert losses[0] == losses[1] != losses[2]


def test_a_later_phase_is_tested_with_the_pull_to_the_pretrained_weights():
    """The weights have moved since, so a pull to where they are now would be none."""
    splits = Ramp().load(0)
    task = tiny_task(splits)
    pulled = HEAD.model_copy(update={"unfreeze": UnfreezeTop(stages=1), "l2_sp": 1e3})
    anchors = pretrained_values(task, [pulled])
    for variable in task.backbone.stages[-1].variables:
        variable.assign(variable + 1.0)
    tests = [
        find_rate(training(task, splits, **given), pulled)
        for given in ({"pretrained": anchors}, {})
    ]

    assert tests[0].losses[0] == tests[1].losses[0]
    assert tests[0].losses[-1] != tests[1].losses[-1]


def test_a_test_sees_the_augmented_batches_of_its_phase():
    splits = Ramp(input=Vectors(claims_to_augment=True)).load(0)
    task = tiny_task(splits)
    before = values(task.model.variables)

    found = find_rate(training(task, splits), HEAD)

    assert len(found.losses) >= 10
    assert all(same(task.model.variables, before))


def test_a_later_phase_is_tested_under_a_trained_head(tmp_path):
    settings = config(tmp_path / "run")

    first, second = lr_find(settings), lr_find(settings, "tune")

    assert (first.phase, first.number, second.phase, second.number) == ("head", 0, "tune", 1)
    assert second.found.smoothed[0] < first.found.smoothed[0]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="phase 'tnue': .* Name one of these phases: head, tune"):
        lr_find(settings, "tnue")

    plot, numbers = write_found(second, free_name(str(tmp_path / "made" / "rate"), "tune"))
    assert plot.stat().st_size > 5000
    assert json.loads(numbers.read_text())["recommended"] == second.found.recommended


def test_the_command_shows_what_it_found_and_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(config(tmp_path / "run").to_json())

    def command(*options):
        arguments = ["lr-find", "config.json", "--trust", "tiny", *options]
        return CliRunner().invoke(main, arguments, catch_exceptions=False)

    told = command("--output", "rate")
    again = command("--output", "rate")
    wrong = command("--phase", "heda")

    assert told.exit_code == 0, told.output
    assert "Loss of 'head' at rates that grow" in told.stdout
    rate = re.search(r"--set phases.0.optimizer.learning_rate=(\S+)", told.stdout)[1]
    found = json.loads((tmp_path / "rate.json").read_text())
    assert float(rate) == pytest.approx(found["recommended"], rel=0.1)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "rate.json", "rate.png"}
    assert (again.exit_code, wrong.exit_code) == (2, 2)
    assert "rate.png: already exists" in again.stderr
    assert "there is none of that name. Name one of these phases: head, tune" in wrong.stderr


def test_nothing_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").touch()
    (tmp_path / "lr-find-head-1.png").touch()

    assert free_name(None, "head").name == "lr-find-head-2"
    assert free_name("other", "head").name == "other"
    refuse_taken(None)
    refuse_taken("other")
    with pytest.raises(ConfigError, match="mine.json: already exists"):
        refuse_taken("mine")


def curve(losses):
    return FoundRate(tuple(np.geomspace(1e-7, 10, len(losses)).tolist()), tuple(losses))


def test_the_steepest_fall_and_the_lowest_are_found_in_noise():
    """The loss falls around 1e-3 and rises from 1e-1 on."""
    exponent = np.linspace(-7, 1, 100)
    losses = 2 - np.tanh(2 * (exponent + 3)) + np.maximum(exponent + 1, 0) ** 2
    noise = np.random.default_rng(0).normal(0, 0.05, 100)

    found = curve(losses + noise)

    assert np.log10(found.steepest) == pytest.approx(-3, abs=0.4)
    assert np.log10(found.tenth) == pytest.approx(-2, abs=0.6)
    assert found.recommended == min(found.steepest, found.tenth)
    assert found.note == ""


def test_a_curve_that_says_little_says_so():
    assert "fell by 0 % only" in curve([1.0] * 50 + [4.0] * 10).note
    assert "until the end" in curve(np.linspace(2, 1, 60).tolist()).note


def test_the_devices_of_the_config_find_the_rate_of_one(tmp_path):
    settings = {"head": {"kind": "classifier", "dropout": 0.0}, "cache": "memory"}
    two = {"distribute": {"strategy": "mirrored", "devices": DEVICES}}

    one = lr_find(config(tmp_path, **settings))
    both = lr_find(config(tmp_path, **settings, **two))

    np.testing.assert_allclose(both.found.losses[:20], one.found.losses[:20], rtol=1e-4)
