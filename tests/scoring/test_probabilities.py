"""Scores of probabilities are those of scikit-learn, where it has them."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from kft.scoring.probabilities import (
    BINS,
    brier_scores,
    calibration,
    log_losses,
    means_of,
    ranking_scores,
)


def some(classes, size=60):
    chance = np.random.default_rng(classes)
    labels = chance.integers(classes, size=size)
    outputs = chance.dirichlet(np.ones(classes), size=size) + 0.5 * np.eye(classes)[labels]
    return labels, (outputs / outputs.sum(axis=1, keepdims=True)).astype("float32")


@pytest.mark.parametrize("classes", [2, 5])
def test_log_loss_and_brier_score(classes):
    labels, outputs = some(classes)

    assert log_losses(labels, outputs).mean() == pytest.approx(log_loss(labels, outputs), rel=1e-5)
    brier = brier_score_loss(labels, outputs, scale_by_half=False, labels=range(classes))
    assert brier_scores(labels, outputs).mean() == pytest.approx(brier, rel=1e-5)


def test_a_class_that_was_ruled_out_has_a_finite_log_loss():
    outputs = np.array([[1, 0], [0, 1]], "float32")

    found = log_losses(np.array([1, 1]), outputs)

    assert found[0] == pytest.approx(-np.log(np.finfo("float32").eps), rel=1e-3)
    assert found[1] == pytest.approx(0, abs=1e-6)
    assert brier_scores(np.array([1, 1]), outputs).tolist() == [2, 0]


def test_each_class_is_ranked_against_the_rest():
    labels, outputs = some(3)
    is_it = np.eye(4, dtype=bool)[labels]

    each = ranking_scores(is_it, np.pad(outputs, ((0, 0), (0, 1))))

    assert each[0]["roc_auc"] == pytest.approx(roc_auc_score(labels == 0, outputs[:, 0]))
    expected = average_precision_score(labels == 2, outputs[:, 2])
    assert each[2]["average_precision"] == pytest.approx(expected)
    assert each[3] == {"roc_auc": None, "average_precision": None}
    means = means_of(each)
    assert means["roc_auc"] == pytest.approx(roc_auc_score(labels, outputs, multi_class="ovr"))
    assert means_of(each[3:]) == {"roc_auc": None, "average_precision": None}


def test_calibration_by_hand():
    confidence = np.repeat([0.5, 0.9], 2 * BINS)
    right = np.concatenate([np.tile([True, False], BINS), np.ones(2 * BINS, bool)])

    found = calibration(right, confidence)

    assert found["expected_calibration_error"] == pytest.approx(0.05)
    assert [each["size"] for each in found["bins"]] == [4] * BINS
    assert found["bins"][-1] == {"confidence": pytest.approx(0.9), "accuracy": 1, "size": 4}


def test_few_examples_have_as_many_bins():
    found = calibration(np.array([True, False]), np.array([0.9, 0.6], "float32"))

    assert [each["size"] for each in found["bins"]] == [1, 1]
    assert found["expected_calibration_error"] == pytest.approx((0.1 + 0.6) / 2)
