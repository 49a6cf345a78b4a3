"""Class weights, selection and scores."""

import keras
import numpy as np
import pytest
from tiny import TARGET, vector_split

from kft.best import Best
from kft.class_weights import weigh
from kft.data import Target
from kft.errors import ConfigError
from kft.evaluate import class_scores


def test_balanced_weights_make_every_class_count_the_same():
    split = vector_split(8).take([0, 3, 6, 1, 2])

    weights = weigh(split, TARGET, "balanced").weights

    totals = [weights[split.labels == number].sum() for number in range(3)]
    assert totals == pytest.approx([5 / 3] * 3)
    assert weights.mean() == pytest.approx(1.0)


def test_given_weights_multiply_those_of_the_data():
    from dataclasses import replace

    split = replace(vector_split(3), weights=np.array([1, 2, 3], "float32"))

    weights = weigh(split, TARGET, {"high": 10.0}).weights

    assert weights.tolist() == [1, 2, 30]


def test_weights_for_an_unknown_class_are_refused():
    with pytest.raises(ConfigError, match="no class 'hihg'. Did you mean 'high'"):
        weigh(vector_split(3), TARGET, {"hihg": 2.0})


def test_weights_need_classes():
    with pytest.raises(ConfigError, match="value target, which has no classes"):
        weigh(vector_split(3), Target("value", ("x",)), "balanced")


def record(epoch, accuracy, loss):
    return {"epoch": epoch, "val_accuracy": accuracy, "val_loss": loss}


def test_the_best_epoch_has_the_highest_score_and_of_equals_the_lower_loss():
    best = Best(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), "accuracy")
    records = [record(1, 0.5, 1.0), record(2, 0.7, 0.9), record(3, 0.7, 0.8), record(4, 0.7, 0.8)]

    assert best.among(records)["epoch"] == 3


def test_a_loss_is_better_when_lower_and_never_when_it_is_no_number():
    best = Best(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), "loss")
    records = [record(1, 0.5, 1.0), record(2, 0.1, 0.9), record(3, 0.7, float("nan"))]

    assert best.among(records)["epoch"] == 2


def test_restoring_before_any_epoch_changes_nothing():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    before = model.get_weights()

    Best(model, "loss").restore()

    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_scores_by_hand():
    labels = np.array([0, 0, 1, 1, 1])
    outputs = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 1, 0], [0, 1, 0], [0.6, 0.4, 0]])

    scores = class_scores(labels, outputs, TARGET)

    assert scores["accuracy"] == pytest.approx(0.6)
    assert scores["per_class"]["low"] == pytest.approx(
        {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    )
    assert scores["per_class"]["middle"]["f1"] == pytest.approx(2 / 3)
    assert scores["per_class"]["high"]["support"] == 0
    assert scores["macro"]["f1"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert scores["weighted"]["recall"] == pytest.approx(0.6)
    assert scores["confusion_matrix"] == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert "top_5_accuracy" not in scores


def test_top_five_counts_labels_among_the_five_likeliest_of_more_classes():
    target = Target("class", tuple("abcdef"))
    outputs = np.tile(np.linspace(1, 0, 6), (2, 1))

    scores = class_scores(np.array([4, 5]), outputs, target)

    assert scores["top_5_accuracy"] == 0.5
