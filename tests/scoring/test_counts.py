"""Scores that depend on counts alone are those of scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from kft.scoring.counts import Counts

NAMES = {
    "accuracy": metrics.accuracy_score,
    # balanced_accuracy_score is this, but warns of predicted classes that are never true
    "balanced_accuracy": lambda a, b: metrics.recall_score(
        a, b, labels=np.unique(a), average="macro"
    ),
    "macro_f1": lambda a, b: metrics.f1_score(a, b, average="macro"),
    "matthews_correlation": metrics.matthews_corrcoef,
    "cohen_kappa": metrics.cohen_kappa_score,
}


@pytest.mark.parametrize("score", NAMES)
@pytest.mark.parametrize("classes", [2, 3, 20])
def test_scores_are_those_of_scikit_learn(score, classes):
    chance = np.random.default_rng(classes)
    labels = chance.integers(classes, size=50)
    predicted = np.where(chance.random(50) < 0.5, labels, chance.integers(classes, size=50))

    found = Counts.of(labels, predicted, classes).scores()[score]

    assert found == pytest.approx(NAMES[score](labels, predicted))


def test_those_of_several_resamples_are_those_of_each():
    chance = np.random.default_rng(0)
    each = [(chance.integers(3, size=9), chance.integers(3, size=9)) for _ in range(4)]
    counts = [Counts.of(*pair, 3) for pair in each]

    together = Counts(
        *(
            np.stack([getattr(one, name) for one in counts])
            for name in ("true", "predicted", "right")
        )
    ).scores()

    for name, scores in together.items():
        np.testing.assert_allclose(scores, [one.scores()[name] for one in counts])


def test_where_there_is_one_class_nothing_correlates():
    scores = Counts.of(np.zeros(4, int), np.zeros(4, int), 2).scores()

    assert scores["accuracy"] == 1
    assert scores["matthews_correlation"] == 0
    assert np.isnan(scores["cohen_kappa"])
