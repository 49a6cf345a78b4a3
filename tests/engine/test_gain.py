"""What fine-tuning gained: by hand, and against another bootstrap."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from tiny import Ramp, same, tiny_task, values, vector_split

from kft.engine.best import EpochWeights
from kft.engine.gain import bootstrap_interval, gain, mcnemar, scores_per_example
from kft.engine.selection import Selected
from kft.engine.snapshot import Snapshot
from kft.scoring.evaluate import Answers, evaluate


def fine_tuned(task, splits, is_better=True, monitor="accuracy"):
    """Returns what was selected and answered after the head went from noise to the truth."""
    start = EpochWeights({"phase": "head", "epoch": 1}, Snapshot.of(task.model.variables))
    task.head_model.trainable_variables[1].assign([0.0, 0.0, 9.0])
    record = {"phase": "tune", "epoch": 2} if is_better else start.record
    selected = Selected("best", monitor, record, start)
    split = splits.validation
    return selected, {"validation": evaluate(task, split, split, "validation")}


def test_an_interval_is_reproducible_and_as_scipy_finds_it():
    differences = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 200, p=[0.05, 0.8, 0.15])

    found = bootstrap_interval(differences)

    other = bootstrap((differences,), np.mean, n_resamples=2000, method="percentile", rng=2)
    assert found == bootstrap_interval(differences)
    assert found["gain"] == differences.mean()
    assert found["low"] == pytest.approx(other.confidence_interval.low, abs=0.006)
    assert found["high"] == pytest.approx(other.confidence_interval.high, abs=0.006)
    assert found["low"] < found["gain"] < found["high"]


def test_many_examples_are_resampled_in_parts():
    found = bootstrap_interval(np.tile([1.0, -1.0], 3000))

    assert found["low"] == pytest.approx(-1.96 / np.sqrt(6000), rel=0.1)
    assert found["high"] == pytest.approx(1.96 / np.sqrt(6000), rel=0.1)


def test_hits_and_losses_of_each_example():
    task = tiny_task(Ramp().load(0))
    outputs = np.array([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], "float32")
    answers = Answers(vector_split(3), outputs, np.array([0.4, 1.4, 0.2]), {})

    assert scores_per_example(task, answers, "accuracy").tolist() == [1, 0, 1]
    assert scores_per_example(task, answers, "loss").tolist() == [-0.4, -1.4, -0.2]


@pytest.mark.parametrize("monitor", ["accuracy", "loss"])
def test_the_gain_is_the_difference_of_the_scores_and_leaves_the_weights(splits, monitor):
    task = tiny_task(splits)
    before = evaluate(task, splits.validation, splits.validation, "validation").scores[monitor]
    selected, answers = fine_tuned(task, splits, monitor=monitor)
    weights = values(task.model.variables)

    found = gain(task, selected, answers, splits.by_name())

    after = answers["validation"].scores[monitor]
    sign = 1 if monitor == "accuracy" else -1
    assert after != before
    assert found["metric"] == monitor
    assert found["validation"]["gain"] == pytest.approx(sign * (after - before), rel=1e-5)
    assert all(same(task.model.variables, weights))


def test_the_weights_of_the_head_gain_nothing_over_themselves(splits):
    task = tiny_task(splits)
    selected, answers = fine_tuned(task, splits, is_better=False)

    found = gain(task, selected, answers, splits.by_name())

    nothing = {"only_after": 0, "only_before": 0, "p": 1.0}
    assert found["validation"] == {"gain": 0.0, "low": 0.0, "high": 0.0, "mcnemar": nothing}


def test_mcnemar_is_the_exact_test_of_the_examples_that_differ():
    found = mcnemar(np.array([True] * 8 + [False] * 4), np.array([False] * 10 + [True] * 2))

    assert found == {"only_after": 8, "only_before": 2, "p": pytest.approx(112 / 1024)}


def test_without_fine_tuning_there_is_no_gain(splits):
    task = tiny_task(splits)
    selected = Selected("best", "accuracy", {"phase": "head", "epoch": 1}, None)

    assert gain(task, selected, {}, {}) is None
