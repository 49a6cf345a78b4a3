"""The loss of answers that are sure, and wrong: float32 probabilities cannot say it."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_expit, log_softmax
from tiny import Ramp, Tags, phase, tiny_task, training

from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.heads.multilabel import Multilabel
from kft.recipe.optimizer import Sgd
from kft.recipe.unfreeze import UnfreezeAll
from kft.scoring.evaluate import evaluate, with_losses

KINDS = pytest.mark.parametrize(
    ("source", "head"),
    [(Ramp, Classifier(dropout=0.0, label_smoothing=0.0)), (Tags, Multilabel(dropout=0.0))],
    ids=["classifier", "multilabel"],
)


def sure(source, head):
    """A task that gives each label a logit of 50 or more, or -50 or less, whatever is true."""
    splits = source().load(0)
    task = tiny_task(splits, head)
    task.head_model.trainable_variables[0].assign(np.zeros((6, 3)))
    task.head_model.trainable_variables[1].assign([50.0, -50.0, -60.0])
    return splits, task


def losses_by_numpy(labels):
    """The loss of each example, in float64."""
    logits = np.array([[50.0, -50.0, -60.0]])
    if labels.ndim == 1:
        return -log_softmax(logits, axis=1)[0, labels]
    return -(labels * log_expit(logits) + (1 - labels) * log_expit(-logits)).mean(axis=1)


@KINDS
def test_the_loss_of_answers_that_are_sure_is_exact(source, head):
    splits, task = sure(source, head)

    answers = evaluate(task, splits.validation, splits.validation, "validation")

    expected = losses_by_numpy(splits.validation.labels)
    np.testing.assert_allclose(answers.losses, expected, rtol=1e-5, atol=1e-6)
    assert answers.scores["loss"] == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{}, {"unfreeze": UnfreezeAll()}, {"accumulate_steps": 2}],
    ids=["features kept", "whole", "accumulating"],
)
@KINDS
def test_epochs_report_the_loss_that_is_scored_and_learn_from_it(source, head, settings):
    """Keras takes the logits behind the probabilities, whatever model trains."""
    splits, task = sure(source, head)
    expected = losses_by_numpy(splits.validation.labels).mean()
    slow = phase(optimizer=Sgd(learning_rate=1e-4), epochs=1, clip_norm=None, **settings)
    before = np.array(task.head_model.trainable_variables[1])

    (result,) = train(training(task, splits, monitor="loss"), [slow])

    answers = evaluate(task, splits.validation, splits.validation, "validation")
    moved = before - np.array(task.head_model.trainable_variables[1])
    assert result.before["val_loss"] == pytest.approx(expected, rel=1e-5)
    assert result.best["val_loss"] == pytest.approx(answers.scores["loss"], rel=1e-5)
    trained = losses_by_numpy(splits.train.labels).mean()
    assert result.best["loss"] == pytest.approx(trained, rel=1e-3)
    assert moved[0] > 1e-5
    assert moved[1:].max() < -1e-5


def test_kept_features_are_scored_as_the_whole_model_is():
    splits, task = sure(Ramp, Classifier(dropout=0.0, label_smoothing=0.0))
    rest = keras.Model(task.head_model.input, task.head_model.output)
    features = tf.zeros((9, 6))
    kept = replace(splits.validation, fetch=lambda index: tf.gather(features, index))

    by_rest = evaluate(task, splits.validation, kept, "validation", rest)

    expected = losses_by_numpy(splits.validation.labels).mean()
    assert by_rest.scores["loss"] == pytest.approx(expected, rel=1e-5)


def test_all_splits_share_the_model_that_gives_losses():
    splits, task = sure(Ramp, Classifier())

    assert with_losses(task.model, task) is with_losses(task.model, task)
