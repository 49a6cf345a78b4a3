"""Conditions on scores."""

import pytest

from kft.errors import ConfigError
from kft.scoring.assertion import Assertion, failures

SCORES = {
    "validation": {"accuracy": 0.8},
    "test": {
        "accuracy": 0.95,
        "macro": {"f1": 0.9, "roc_auc": None},
        "per_class": {"St. Bernard": {"recall": 0.5}},
        "confusion_matrix": [[1]],
    },
}


@pytest.mark.parametrize(
    "condition",
    [
        "accuracy>=0.95",
        " accuracy <= 9.5e-1 ",
        "macro.f1 > 0.8",
        "validation.accuracy<0.81",
        "test.accuracy>.9",
        "per_class.St. Bernard.recall>=0.5",
    ],
)
def test_what_holds_is_no_failure(condition):
    assert failures([Assertion.of(condition)], SCORES) == []


def test_what_does_not_hold_says_what_was_found():
    conditions = ["accuracy>0.95", "validation.accuracy>=0.9", "macro.roc_auc>0"]

    assert failures(map(Assertion.of, conditions), SCORES) == [
        "test: accuracy is 0.95, expected > 0.95",
        "validation: validation.accuracy is 0.8, expected >= 0.9",
        "test: macro.roc_auc is not defined for these examples, expected > 0",
    ]


def test_a_split_of_its_own_comes_first():
    assert failures([Assertion.of("accuracy>=1")], {**SCORES, "data": {"accuracy": 1.0}}) == []


@pytest.mark.parametrize("condition", ["accuracy", "accuracy=0.9", ">=1", "a>=b", "a>=1e", ""])
def test_what_is_no_condition_is_refused(condition):
    with pytest.raises(ConfigError, match="--assert .* is no condition. Give a score, one of >="):
        Assertion.of(condition)


@pytest.mark.parametrize(
    ("condition", "meant"), [("acuracy>=1", "accuracy"), ("macro.f2>0", "macro.f1")]
)
def test_a_score_that_there_is_not_names_one_that_is_near(condition, meant):
    with pytest.raises(ConfigError, match=f"there is no score .* Did you mean '{meant}'"):
        failures([Assertion.of(condition)], SCORES)


def test_what_is_no_number_is_no_score():
    with pytest.raises(ConfigError, match="there is no score 'confusion_matrix'"):
        failures([Assertion.of("confusion_matrix>0")], SCORES)
