"""Sentences for people."""

import pytest

from kft.cli.show import gain, measured, selection

HEAD, TUNE = {"phase": "head", "epoch": 3}, {"phase": "tune", "epoch": 5}


@pytest.mark.parametrize(
    ("selected", "sentence"),
    [
        (
            {"select": "best", **TUNE},
            "The weights of the best epoch on validation: epoch 5, of 'tune'.",
        ),
        ({"select": "last", **TUNE}, "The weights of the last epoch: epoch 5, of 'tune'."),
        (
            {"select": "interpolate", **TUNE, "alpha": 0.7, "start": HEAD, "sweep": [{}] * 11},
            "The best of 11 on validation: 70 % of the way from epoch 3, of 'head', to epoch 5, of "
            "'tune' (alpha 0.7).",
        ),
        (
            {"select": "interpolate", **HEAD, "alpha": 0.0, "start": HEAD, "sweep": [{}] * 11},
            "The weights of epoch 3, of 'head': the best of 11 on validation (alpha 0).",
        ),
    ],
    ids=["best", "last", "between", "end"],
)
def test_what_was_kept_is_said_in_one_sentence(selected, sentence):
    assert selection(selected) == sentence


@pytest.mark.parametrize(
    ("metric", "gained", "sentence"),
    [
        (
            "accuracy",
            (0.021, 0.004, 0.039),
            "2.1 points of accuracy on test over 'head' (95 % interval 0.4 to 3.9, over examples, "
            "not over seeds).",
        ),
        (
            "accuracy",
            (-0.01, -0.02, 0.0),
            "nothing on test over 'head': -1.0 points of accuracy (95 % interval -2.0 to 0.0, over "
            "examples, not over seeds).",
        ),
        (
            "loss",
            (0.25, 0.125, 0.375),
            "0.2500 of loss on test over 'head' (95 % interval 0.1250 to 0.3750, over examples, "
            "not over seeds).",
        ),
        ("accuracy", (0.0, 0.0, 0.0), "nothing on test over 'head'."),
    ],
    ids=["more", "less", "loss", "same"],
)
def test_the_gain_is_said_with_its_interval(metric, gained, sentence):
    interval = dict(zip(("gain", "low", "high"), gained, strict=True))
    scores = {
        "selected": {"start": HEAD},
        "gain": {"metric": metric, "confidence": 0.95, "test": interval, "validation": {}},
    }

    assert gain(scores) == f"Fine-tuning gained {sentence}"


@pytest.mark.parametrize(
    ("metric", "score", "shown"),
    [
        ("accuracy", 0.5, "50.0 %"),
        ("mae", 1.25, "1.2500"),
        ("mae", 0.0, "0.0000"),
        ("mae", 3.1e-9, "3.10e-09"),
        ("rmse", 5978.3735, "5978.37"),
    ],
)
def test_a_metric_is_shown_in_as_many_digits_as_say_something(metric, score, shown):
    assert measured(metric, score) == shown
