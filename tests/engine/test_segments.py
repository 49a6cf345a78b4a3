"""Phases whose trained stages change from epoch to epoch, and what passes between phases."""

import keras
import numpy as np
import pytest
from tiny import Ramp, Vectors, tiny_task, training, values

from kft.engine.segments import segments_of
from kft.engine.train import train
from kft.errors import ConfigError
from kft.heads.classifier import Classifier
from kft.phase import EarlyStopping, Phase
from kft.recipe.optimizer import Adam
from kft.recipe.schedule import Cosine
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeGradual, UnfreezeNone


def phase(name="only", **settings):
    defaults = {"epochs": 3, "optimizer": Adam(learning_rate=0.01), "unfreeze": UnfreezeNone()}
    return Phase(name=name, **{**defaults, **settings})


@pytest.fixture(scope="module")
def backbone_task():
    return tiny_task(Ramp().load(0))


@pytest.mark.parametrize(
    ("unfreeze", "epochs", "expected"),
    [
        (UnfreezeAll(), 3, [(["bottom", "top"], 0, 3)]),
        (UnfreezeGradual(groups=2), 3, [(["top"], 0, 1), (["bottom", "top"], 1, 2)]),
        (
            UnfreezeGradual(groups=2, epochs_per_group=3),
            4,
            [(["top"], 0, 3), (["bottom", "top"], 3, 1)],
        ),
        (UnfreezeGradual(groups=1), 2, [(["bottom", "top"], 0, 2)]),
    ],
)
def test_a_phase_is_cut_where_its_stages_change(backbone_task, unfreeze, epochs, expected):
    segments = segments_of(backbone_task, phase(epochs=epochs, unfreeze=unfreeze), 0)

    found = [([stage.name for stage in s.stages], s.first, s.epochs) for s in segments]
    assert found == expected


@pytest.mark.parametrize(
    ("unfreeze", "message"),
    [
        (UnfreezeGradual(groups=3), r"phases\[1\]\.unfreeze\.groups: got 3, .* has 2 stages"),
        (
            UnfreezeGradual(groups=2, epochs_per_group=3),
            r"groups: it takes 4 epochs until the last of 2 groups joins in, .* has 3",
        ),
    ],
)
def test_groups_that_are_not_reached_are_refused(backbone_task, unfreeze, message):
    with pytest.raises(ConfigError, match=message):
        segments_of(backbone_task, phase(unfreeze=unfreeze), 1)


class Witness(keras.callbacks.Callback):
    """Writes down what a user's callback sees, and the weights after each epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.kernels = []

    def on_train_begin(self, logs=None):
        self.seen.append(f"begin {self.params['epochs']}")
        self.kernels.append(self.model.get_layer("backbone").model.get_weights()[0])

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(epoch)
        self.kernels.append(self.model.get_layer("backbone").model.get_weights()[0])

    def on_train_end(self, logs=None):
        self.seen.append("end")


def gradual(claims):
    splits = Ramp(input=Vectors(claims_to_augment=claims)).load(0)
    task = tiny_task(splits, Classifier(dropout=0.5))
    tune = phase("tune", unfreeze=UnfreezeGradual(groups=2), schedule=Cosine(warmup_epochs=1))
    witness = Witness()
    (result,) = train(training(task, splits, callbacks=lambda: [witness]), [tune])
    return result, witness, values(task.model.variables)


def test_gradual_unfreezing_is_one_phase_in_which_lower_stages_join_later():
    result, witness, weights = gradual(claims=False)
    _, _, whole = gradual(claims=True)

    assert witness.seen == ["begin 3", 0, 1, 2, "end"]
    start, *after = witness.kernels
    assert [np.array_equal(kernel, start) for kernel in after] == [True, False, False]
    rates = [record["learning_rate"] for record in result.epochs]
    cosine = [0.01 * (1 + np.cos(np.pi * steps / 12)) / 2 for steps in (0, 5, 11)]
    assert rates == pytest.approx(cosine, abs=1e-6)
    assert (result.trained_stages, len(result.epochs), result.before["epoch"]) == (2, 3, 0)
    for a, b in zip(weights, whole, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_early_stopping_ends_a_gradual_phase_before_its_lower_stages_join():
    splits = Ramp().load(0)
    task = tiny_task(splits)
    stuck = phase(
        epochs=9,
        optimizer=Adam(learning_rate=1e-9),
        unfreeze=UnfreezeGradual(groups=2, epochs_per_group=4),
        early_stopping=EarlyStopping(patience=2, min_delta=0.01),
    )

    (result,) = train(training(task, splits), [stuck])

    assert (len(result.epochs), result.trained_stages) == (3, 1)


def test_a_carried_optimizer_makes_two_phases_one():
    """At a constant rate, so that nothing else tells them apart."""
    found = []
    for phases in (
        [phase("one", epochs=4)],
        [phase("one", epochs=2), phase("two", epochs=2, carry_optimizer=True)],
        [phase("one", epochs=2), phase("two", epochs=2)],
    ):
        splits = Ramp().load(0)
        task = tiny_task(splits)
        results = train(training(task, splits), phases)
        found.append(values(task.head_model.trainable_variables))

    one, carried, anew = found
    for a, b in zip(one, carried, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)
    assert not all(np.allclose(a, b, atol=1e-4) for a, b in zip(one, anew, strict=True))
    assert results[1].before == {
        key: value
        for key, value in results[0].epochs[-1].items()
        if key == "epoch" or key.startswith("val_")
    }


def test_the_plan_says_how_many_stages_join_in_turn_and_counts_steps_and_not_batches():
    from kft.cli.show_plan import in_turn
    from kft.config.run_config import load_config
    from kft.workflows.plan import plan

    tune = phase("tune", unfreeze=UnfreezeGradual(groups=2), batch_size=4, accumulate_steps=3)
    config = load_config(
        {
            "data": {"kind": "tiny:Ramp"},
            "backbone": {"kind": "tiny:TinyDense"},
            "phases": [tune.model_dump(mode="json", serialize_as_any=True)],
        }
    )

    (planned,) = plan(config).phases

    assert (planned.steps_per_epoch, planned.stages) == (2, ("bottom", "top"))
    assert in_turn(planned.stage_counts) == ", gradually: 1, then 2"
    assert in_turn((2,)) == ""
