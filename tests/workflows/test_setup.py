"""What every command begins with is made in one place, and checked there."""

import numpy as np
import pytest
from tiny_runs import PHASES, config

from kft.errors import ConfigError
from kft.workflows.setup import set_up


def test_examples_that_are_excluded_are_found_but_not_trained_on(tmp_path):
    listed = tmp_path / "exclude.txt"
    listed.write_text("train/3\n")
    data = {"kind": "tiny:Ramp", "exclude": str(listed)}

    ready = set_up(config(tmp_path / "run", data=data))

    assert (ready.found.train.size, ready.splits.train.size) == (22, 21)
    assert "train/3" not in ready.splits.train.names


def test_a_setting_that_does_not_fit_is_found_before_any_example_is_read(tmp_path):
    wrong = {**PHASES[1], "unfreeze": {"kind": "top", "stages": 9}}

    with pytest.raises(ConfigError, match=r"phases\[0\].unfreeze.stages: got 9"):
        set_up(config(tmp_path / "run", phases=[wrong]))


def test_a_task_is_the_same_each_time_under_one_seed(tmp_path):
    import keras

    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        weights.append(set_up(config(tmp_path / "run")).task.model.get_weights())

    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)
