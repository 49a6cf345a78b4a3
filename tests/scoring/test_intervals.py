"""Confidence intervals of scores."""

import numpy as np
import pytest

from kft.data import Target
from kft.scoring.counts import Counts
from kft.scoring.intervals import (
    CONFIDENCE,
    count_intervals,
    interval_of,
    label_intervals,
    mean_intervals,
    resampled_means,
    wilson,
)
from kft.scoring.metrics import scoring_of


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, size=400)

    low, high = mean_intervals({"value": values})["value"]

    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_intervals_of_counts_agree_with_drawing_examples():
    chance = np.random.default_rng(1)
    labels = chance.integers(3, size=200)
    predicted = np.where(chance.random(200) < 0.7, labels, 0)

    found = count_intervals(labels, predicted, 3)

    drawn = [chance.integers(200, size=200) for _ in range(2000)]
    each = [Counts.of(labels[rows], predicted[rows], 3).scores() for rows in drawn]
    for name in ("balanced_accuracy", "macro_f1", "matthews_correlation", "cohen_kappa"):
        expected = interval_of(np.array([scores[name] for scores in each]))
        assert found[name] == pytest.approx(expected, abs=0.02)


def test_coverage_of_the_accuracy_is_about_what_it_says():
    chance = np.random.default_rng(2)
    right = chance.binomial(50, 0.9, size=1000)

    covered = [low <= 0.9 <= high for low, high in (wilson(int(each), 50) for each in right)]

    assert np.mean(covered) == pytest.approx(CONFIDENCE, abs=0.03)


def test_where_all_are_right_only_the_accuracy_has_an_interval():
    labels = np.array([0, 1, 2, 0, 1])

    found = count_intervals(labels, labels, 3)

    assert found["accuracy"] == pytest.approx([0.566, 1], abs=0.001)
    assert found["macro_f1"] is None
    assert mean_intervals({"loss": np.zeros(5)}) == {"loss": None}


def test_intervals_of_several_labels():
    chance = np.random.default_rng(3)
    labels = chance.random((100, 4)) < 0.4
    predicted = labels ^ (chance.random((100, 4)) < 0.1)

    found = label_intervals(labels, predicted)

    both = (labels & predicted).sum()
    micro = 2 * both / (labels.sum() + predicted.sum())
    assert found["micro_f1"][0] < micro < found["micro_f1"][1]
    assert found["macro_f1"][0] < found["macro_f1"][1]


def test_they_are_the_same_each_time():
    values = np.arange(9.0)

    np.testing.assert_array_equal(resampled_means(values), resampled_means(values))


@pytest.mark.parametrize("kind", ["class", "multilabel", "value"])
def test_each_kind_of_target_has_some(kind):
    chance = np.random.default_rng(4)
    if kind == "value":
        target = Target.of_values(("price",), np.arange(20.0)[:, None])
        labels, outputs = chance.random((2, 20, 1)).astype("float32")
    else:
        target = Target(kind, ("low", "high"))
        outputs = chance.dirichlet([1, 1], size=20).astype("float32")
        labels = chance.integers(2, size=20)
        labels = labels if kind == "class" else np.eye(2, dtype="float32")[labels]

    found = scoring_of(target).intervals(labels, outputs)

    assert {*found} >= {
        "class": {"accuracy", "macro_f1", "log_loss"},
        "multilabel": {"micro_f1", "subset_accuracy"},
        "value": {"mae"},
    }[kind]
    assert all(low <= high for low, high in filter(None, found.values()))


def test_many_classes_and_examples_take_little():
    labels = np.arange(20_000) % 5_000

    found = count_intervals(labels, np.roll(labels, 1) * (labels % 2), 5_000)

    assert found["accuracy"][1] < 0.01
