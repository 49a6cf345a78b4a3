"""Scores of single examples and of splits."""

import json

import numpy as np
import pytest
from tiny import TARGET

from kft.data import Target
from kft.errors import DataError
from kft.scoring.metrics import scoring_of


def test_scores_by_hand():
    labels = np.array([0, 0, 1, 1, 1])
    outputs = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 1, 0], [0, 1, 0], [0.6, 0.4, 0]])

    scores = scoring_of(TARGET).scores(labels, outputs)

    assert scores["accuracy"] == pytest.approx(0.6)
    assert scores["per_class"]["low"] == pytest.approx(
        {
            "precision": 0.5,
            "recall": 0.5,
            "f1": 0.5,
            "support": 2,
            "roc_auc": 5 / 6,
            "average_precision": 5 / 6,
        }
    )
    assert scores["per_class"]["middle"]["f1"] == pytest.approx(2 / 3)
    assert scores["per_class"]["high"]["support"] == 0
    assert scores["macro"]["f1"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert scores["weighted"]["recall"] == pytest.approx(0.6)
    assert scores["confusion_matrix"] == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert scores["confusions"] == [
        {"true": "low", "predicted": "middle", "count": 1},
        {"true": "middle", "predicted": "low", "count": 1},
    ]
    assert "top_5_accuracy" not in scores


def test_confusions_come_with_the_most_frequent_first():
    labels = np.array([0, 0, 1, 2, 2, 2])
    outputs = np.eye(3)[[0, 2, 1, 1, 1, 2]]

    scores = scoring_of(TARGET).scores(labels, outputs)

    assert scores["confusions"] == [
        {"true": "high", "predicted": "middle", "count": 2},
        {"true": "low", "predicted": "high", "count": 1},
    ]


MANY = Target("class", tuple(f"class {number}" for number in range(5_000)))


def test_scores_do_not_grow_with_the_square_of_the_classes():
    labels = np.arange(5_000)
    outputs = np.zeros((5_000, 5_000), "float32")
    outputs[labels, np.roll(labels, 1)] = 1
    outputs[:10] = np.eye(5_000)[:10]

    scores = scoring_of(MANY).scores(labels, outputs)

    assert scores["confusion_matrix"] is None
    assert len(scores["confusions"]) == 4_990
    assert scores["confusions"][0] == {"true": "class 10", "predicted": "class 9", "count": 1}
    assert len(json.dumps(scores)) < 1_500_000


def test_an_example_of_many_classes_is_told_by_the_likeliest():
    scoring = scoring_of(MANY)
    outputs = np.zeros(5_000, "float32")
    outputs[[7, 4_000, 9]] = 0.5, 0.25, 0.125

    told = dict(zip(scoring.columns, scoring.row(3, outputs), strict=True))

    assert (told["label"], told["prediction"]) == ("class 3", "class 7")
    assert (told["likeliest 2"], told["probability 2"]) == ("class 4000", "0.25")
    assert (told["likeliest 4"], told["probability 4"]) == ("class 0", "0")
    assert len(told) == 12


def test_of_equals_the_first_in_label_order_is_among_the_five_likeliest():
    target = Target("class", tuple("abcdefg"))
    outputs = np.tile([0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], (7, 1))

    scores = scoring_of(target).scores(np.arange(7), outputs)

    assert scores["top_5_accuracy"] == pytest.approx(5 / 7)


def test_top_five_counts_labels_among_the_five_likeliest_of_more_classes():
    target = Target("class", tuple("abcdef"))
    outputs = np.tile(np.linspace(1, 0, 6), (2, 1))

    scores = scoring_of(target).scores(np.array([4, 5]), outputs)

    assert scores["top_5_accuracy"] == 0.5


LABELS = Target("multilabel", ("red", "round", "new", "rare"))
HAS = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]], "float32")
SHARES = np.array([[0.9, 0.6, 0.1, 0.2], [0.4, 0.7, 0.2, 0.1], [0.2, 0.8, 0.5, 0.3]], "float32")


def test_scores_of_several_labels_by_hand():
    scores = scoring_of(LABELS).scores(HAS, SHARES)

    assert scores["subset_accuracy"] == pytest.approx(2 / 3)
    assert scores["micro"] == pytest.approx({"precision": 4 / 5, "recall": 4 / 5, "f1": 4 / 5})
    assert scores["per_label"]["red"] == pytest.approx(
        {"precision": 1, "recall": 0.5, "f1": 2 / 3, "support": 2, "average_precision": 1}
    )
    assert scores["per_label"]["round"]["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["mean_average_precision"] == pytest.approx((1 + (1 + 2 / 3) / 2 + 1) / 3)


def test_a_label_that_no_example_has_lowers_no_average():
    scores = scoring_of(LABELS).scores(HAS, SHARES)

    assert scores["per_label"]["rare"]["average_precision"] is None
    assert scores["macro"]["f1"] == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)


def test_a_label_that_is_only_predicted_does():
    scores = scoring_of(LABELS).scores(HAS, np.maximum(SHARES, [0, 0, 0, 0.5]))

    assert scores["macro"]["f1"] == pytest.approx((2 / 3 + 4 / 5 + 1 + 0) / 4)
    assert scores["micro"]["precision"] == pytest.approx(4 / 8)


def test_examples_without_any_label_can_be_scored():
    scores = scoring_of(LABELS).scores(np.zeros((2, 4), "float32"), np.zeros((2, 4), "float32"))

    assert scores["subset_accuracy"] == 1
    assert scores["mean_average_precision"] == scores["macro"]["f1"] == 0


VALUES = Target("value", ("age", "height"))
TRUE = np.array([[10, 1], [20, 2], [30, 3]], "float32")
SAID = np.array([[11, 1], [20, 2], [27, 3]], "float32")


def test_scores_of_values_by_hand():
    scores = scoring_of(VALUES).scores(TRUE, SAID)

    age = {"mae": 4 / 3, "rmse": np.sqrt(10 / 3), "r2": 1 - 10 / 200}
    assert scores["per_value"]["age"] == pytest.approx(age)
    assert scores["per_value"]["height"] == {"mae": 0, "rmse": 0, "r2": 1}
    assert scores["mae"] == pytest.approx(2 / 3)
    assert scores["r2"] == pytest.approx(1.95 / 2)


def test_a_single_example_has_no_share_of_explained_variance():
    scores = scoring_of(VALUES).scores(TRUE[:1], SAID[:1])

    assert scores["r2"] is scores["per_value"]["age"]["r2"] is None
    assert scores["mae"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("target", "labels", "outputs", "row"),
    [
        (TARGET, np.array([2]), np.array([[0.25, 0.5, 0.25]]), "high middle 0.25 0.5 0.25"),
        (LABELS, HAS[:1], SHARES[1:2], "red|round round 0.4 0.7 0.2 0.1"),
        (VALUES, TRUE[:1], np.array([[31.2, 1e7]], "float32"), "10.0 1.0 31.2 1e+07"),
    ],
    ids=["class", "multilabel", "value"],
)
def test_an_example_is_told_to_people_in_columns(target, labels, outputs, row):
    scoring = scoring_of(target)

    told = scoring.row(labels[0], outputs[0])

    assert " ".join(told) == row
    assert len(told) == len(scoring.columns)


def test_labels_are_counted_and_values_are_not():
    assert scoring_of(LABELS).counts(HAS) == {"red": 2, "round": 2, "new": 1, "rare": 0}
    assert scoring_of(VALUES).counts(TRUE) == {}


def test_a_target_survives_being_written_and_read():
    values = Target.of_values(("age", "height", "same"), np.array([[10, 1, 5], [30, 2, 5]]))

    assert values == Target("value", ("age", "height", "same"), (20.0, 1.5, 5.0), (10.0, 0.5, 1.0))
    assert Target.from_json(values.to_json()) == values
    assert Target.from_json(TARGET.to_json()) == TARGET


def test_a_name_that_is_no_unicode_text_is_refused():
    with pytest.raises(DataError, match=r"hold 'b\\udce9d', which is no Unicode text"):
        Target("class", ("good", "b\udce9d"))
