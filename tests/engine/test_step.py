"""The optimizer of a phase: rates by stage, and the pull to the pretrained weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import Ramp, Vectors, assert_same_weights, tiny_task, training, values

from kft.engine.step import optimizer_of, stage_factors
from kft.engine.train import train
from kft.errors import ConfigError
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.recipe.optimizer import Adam, AdamW, Sgd
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeTop


def phase(name="only", **settings):
    defaults = {"epochs": 1, "optimizer": Sgd(learning_rate=0.1), "unfreeze": UnfreezeAll()}
    return Phase(name=name, **{**defaults, **settings})


@pytest.fixture
def task(splits):
    return tiny_task(splits, Classifier(dropout=0.0))


@pytest.mark.parametrize(
    ("settings", "factors"),
    [
        ({}, {"bottom": 1.0, "top": 1.0, "head": 1.0}),
        ({"layer_decay": 0.5}, {"bottom": 0.25, "top": 0.5, "head": 1.0}),
        ({"rate_factors": {"head": 10.0}}, {"bottom": 1.0, "top": 1.0, "head": 10.0}),
        (
            {"layer_decay": 0.5, "rate_factors": {"bot.*": 0.1, "t.p": 3.0}},
            {"bottom": 0.025, "top": 1.5, "head": 1.0},
        ),
    ],
    ids=["one rate", "decay", "head", "both"],
)
def test_each_stage_has_its_share_of_the_rate(task, settings, factors):
    assert stage_factors(phase(**settings), task.backbone) == pytest.approx(factors)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (
            {"botom": 0.1},
            r"phases\[0\]\.rate_factors\['botom'\]: matches neither the head nor any of the 2 "
            "stages of 'tiny', such as 'bottom' and 'top'",
        ),
        ({"top": 0.1, "t.*": 0.2}, r"rate_factors\['t\.\*'\]: matches 'top', as 'top' does"),
    ],
    ids=["no match", "two match"],
)
def test_a_pattern_that_fits_no_stage_or_a_second_time_is_refused(task, splits, factors, message):
    before = values(task.model.variables)

    with pytest.raises(ConfigError, match=message):
        train(training(task, splits), [phase(rate_factors=factors)])

    assert all(
        np.array_equal(a, b) for a, b in zip(values(task.model.variables), before, strict=True)
    )


def test_a_phase_moves_each_stage_by_its_share(splits):
    """One step of SGD: what a stage moves at its share is the share of what it moves without."""
    moves = {}
    for decay in (None, 0.5):
        task = tiny_task(splits, Classifier(dropout=0.0))
        parts = [*task.backbone.stages, task.head_model]
        before = [part.variables[0].numpy() for part in parts]
        train(training(task, splits), [phase(layer_decay=decay, batch_size=22)])
        moves[decay] = [
            part.variables[0].numpy() - old for part, old in zip(parts, before, strict=True)
        ]

    for scaled, whole, factor in zip(moves[0.5], moves[None], (0.25, 0.5, 1.0), strict=True):
        np.testing.assert_allclose(scaled, factor * whole, atol=2e-7)
        assert np.abs(whole).max() > 1e-4


def test_l2_sp_pulls_to_the_pretrained_weights_and_not_to_those_the_phase_began_with(task, splits):
    """The second phase takes off the whole distance at each step, and its gradients are nil."""
    weights = [stage.variables[0] for stage in task.backbone.stages]
    pretrained, seen = values(weights), []
    phases = [
        phase("away", optimizer=Adam(learning_rate=0.1)),
        phase("back", optimizer=Sgd(learning_rate=0.1), l2_sp=10.0, clip_norm=1e-9),
    ]
    watch = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: seen.append(values(weights)))

    train(training(task, splits, callbacks=lambda: [watch]), phases)

    assert all(np.abs(a - b).max() > 0.05 for a, b in zip(seen[1], pretrained, strict=True))
    for now, old in zip(weights, pretrained, strict=True):
        np.testing.assert_allclose(now, old, atol=1e-6)


def test_weight_decay_leaves_what_l2_sp_pulls_to_it(task):
    """Without gradients, and at its pretrained value, a weight of the backbone stays."""
    task.backbone.train_only(task.backbone.stages)
    kernel, head = task.backbone.stages[0].variables[0], task.head_model.trainable_variables[0]
    pretrained = {id(kernel): tf.identity(kernel.value)}
    before = values([kernel, head])
    settings = AdamW(learning_rate=0.1, weight_decay=0.5)
    pulled = phase(optimizer=settings, l2_sp=1.0)

    optimizer = optimizer_of(pulled, task, task.model, 0.1, pretrained)
    optimizer.apply([tf.zeros(v.shape) for v in (kernel, head)], [kernel, head])

    np.testing.assert_array_equal(kernel, before[0])
    np.testing.assert_allclose(head, 0.95 * before[1], rtol=1e-6)


def test_kept_features_give_the_same_weights_with_rates_by_stage_and_the_pull():
    """The features are kept before the top stage, whose variables the rest of the model shares."""
    ends = []
    for claims in (False, True):
        splits = Ramp(input=Vectors(claims_to_augment=claims)).load(0)
        task = tiny_task(splits, Classifier(dropout=0.0))
        tune = phase(unfreeze=UnfreezeTop(stages=1), layer_decay=0.5, l2_sp=0.5)
        (result,) = train(training(task, splits), [tune])
        ends.append((result, values(task.model.variables)))

    assert_same_weights(*ends)
