"""Losses for classes of unequal size or difficulty, by the formulas of the papers in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, softmax

from kft.data import Target
from kft.heads.classifier import Classifier

TARGET = Target("class", ("common", "rare", "rarest"))
TRUE = np.repeat([0, 1, 2], [14, 5, 1]).astype("int32")
SHARES = np.array([0.7, 0.25, 0.05])
LOGITS = np.random.default_rng(0).normal(0, 3, (20, 3)).astype("float32")
SETTINGS = [
    {"focal_gamma": 2.0},
    {"focal_gamma": 0.5},
    {"logit_adjustment": 1.0},
    {"logit_adjustment": 1.5, "label_smoothing": 0.1},
    {"focal_gamma": 2.0, "logit_adjustment": 1.0},
]


def by_formula(logits, labels, focal_gamma=0.0, logit_adjustment=0.0, label_smoothing=0.0):
    """Focal loss (Lin et al. 2017, eq. 4) of adjusted logits (Menon et al. 2021, eq. 10)."""
    adjusted = logits.astype("float64") + logit_adjustment * np.log(SHARES)
    smooth = labels * (1 - label_smoothing) + label_smoothing / labels.shape[-1]
    loss = -(smooth * log_softmax(adjusted, axis=-1)).sum(axis=-1)
    right = (labels * softmax(adjusted, axis=-1)).sum(axis=-1)
    return (1 - right) ** focal_gamma * loss


def losses_and_slopes(head, logits, labels):
    """The training loss of each example, and its gradient by the logits."""
    loss, given = head.training_loss(TARGET, TRUE), tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(given)
        losses = loss.call(tf.constant(labels), keras.activations.softmax(given))
    return losses.numpy(), tape.gradient(losses, given).numpy()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_loss_and_its_slope_are_those_of_the_paper(settings):
    labels = TARGET.dense(TRUE)

    losses, slopes = losses_and_slopes(
        Classifier(**{"label_smoothing": 0.0, **settings}), LOGITS, labels
    )

    np.testing.assert_allclose(losses, by_formula(LOGITS, labels, **settings), rtol=2e-4, atol=1e-6)
    for logits, label, slope in zip(LOGITS.astype("float64"), labels, slopes, strict=True):
        expected = approx_fprime(logits, lambda x, y=label: by_formula(x, y, **settings))
        np.testing.assert_allclose(slope, expected, atol=2e-5)


def test_labels_that_are_mixed_have_the_mean_of_their_adjusted_losses():
    head, one, other = (
        Classifier(label_smoothing=0.0, logit_adjustment=1.0),
        *np.eye(3, dtype="float32")[[0, 2]],
    )

    mixed, first, second = (
        losses_and_slopes(head, LOGITS[:1], label[None])[0]
        for label in (0.25 * one + 0.75 * other, one, other)
    )

    assert mixed == pytest.approx(0.25 * first + 0.75 * second, rel=1e-5)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_answers_that_are_sure_have_finite_losses_and_slopes(settings):
    logits = np.array([[50.0, -50.0, -50.0], [-50.0, 50.0, 50.0]], "float32")
    labels = np.eye(3, dtype="float32")[[0, 0]]

    losses, slopes = losses_and_slopes(
        Classifier(**{"label_smoothing": 0.0, **settings}), logits, labels
    )

    assert losses[1] == pytest.approx(by_formula(logits, labels, **settings)[1], rel=1e-4)
    assert np.isfinite(slopes).all()
    assert slopes[1, 0] == pytest.approx(-1 + settings.get("label_smoothing", 0) * 2 / 3, rel=1e-4)


@pytest.mark.parametrize(("adjustment", "expected"), [(0.0, SHARES), (1.0, [1 / 3] * 3)])
def test_adjusted_logits_make_all_classes_equally_likely(adjustment, expected):
    """Where features say nothing, the answer is the share of each class."""
    inputs = keras.Input((1,))
    head = Classifier(dropout=0.0, label_smoothing=0.0, logit_adjustment=adjustment)
    model = keras.Model(inputs, head.outputs(inputs, TARGET))
    model.compile(keras.optimizers.SGD(1.0), loss=head.training_loss(TARGET, TRUE))
    nothing = np.zeros((20 * 300, 1), "float32")

    model.fit(nothing, TARGET.dense(np.tile(TRUE, 300)), batch_size=20, shuffle=False, verbose=0)

    np.testing.assert_allclose(model.predict(nothing[:1], verbose=0)[0], expected, atol=0.01)


def test_a_class_without_training_examples_counts_as_one():
    loss = Classifier(label_smoothing=0.0, logit_adjustment=1.0).training_loss(
        TARGET, np.array([0] * 14 + [1] * 6)
    )

    found = loss.call(tf.constant([[0.0, 0.0, 1.0]]), keras.activations.softmax(tf.zeros((1, 3))))

    assert float(found[0]) == pytest.approx(-np.log((1 / 20) / (14 / 20 + 6 / 20 + 1 / 20)))


def test_validation_and_scores_have_the_plain_cross_entropy():
    head = Classifier(focal_gamma=2.0, logit_adjustment=1.0, label_smoothing=0.1)
    labels = TARGET.dense(TRUE)

    found = head.loss(TARGET).call(tf.constant(labels), keras.activations.softmax(LOGITS))

    np.testing.assert_allclose(found, by_formula(LOGITS, labels), rtol=1e-4, atol=1e-6)
