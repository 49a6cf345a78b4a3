import re
import time
from dataclasses import replace

import keras
import pytest
import tensorflow as tf
from killing import HungryBackbone
from tiny import Ramp, TinyDense, spoilt
from tiny_runs import config
from two_devices import DEVICES

from kft.backbone import Backbone, layer_stages
from kft.cache.store import entries
from kft.workflows.check import check
from kft.workflows.checking.estimate import timed


@pytest.mark.parametrize("cache", ["auto", "off"])
def test_each_phase_is_measured_and_nothing_is_kept_or_written(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))
    settings = config(tmp_path / "run", cache=cache)

    result = check(settings)

    assert result.faults == ()
    assert [each.name for each in result.estimates] == [phase.name for phase in settings.phases]
    for each, phase in zip(result.estimates, settings.phases, strict=True):
        assert each.seconds >= phase.epochs * each.step > 0
        assert 2**20 < each.memory < 2**45
    assert [phase["name"] for phase in result.in_json()["phases"]] == [
        phase.name for phase in settings.phases
    ]
    assert entries() == []
    assert not (tmp_path / "run").exists()


class BadBeginning(Ramp):
    """A source of which the first examples cannot be read."""

    def load(self, seed):
        found = super().load(seed)
        return replace(found, train=spoilt(found.train, list(range(18))))


def test_what_cannot_be_read_is_not_measured_on(tmp_path):
    data = BadBeginning(on_bad_input="skip", batch_size=8)

    result = check(config(tmp_path / "run", data=data))

    assert len(result.bad) == 18
    assert all(each.seconds > 0 for each in result.estimates)


@pytest.mark.parametrize(
    ("phase", "fault"),
    [
        (
            0,
            r"Computing the features of .*: a pass over 64 examples at once takes .*: OOM when all",
        ),
        (1, r"phases\[0\].batch_size: .* on 4 examples .*: OOM .*Set it to 2 and phases\[0\].accu"),
    ],
    ids=["pass", "step"],
)
def test_what_does_not_fit_into_memory_is_a_fault(tmp_path, phase, fault):
    phases = config("run").phases[phase : phase + 1]
    settings = config(tmp_path / "run", backbone=HungryBackbone(), phases=phases)

    (found,) = check(settings).faults

    assert re.match(fault, found)


def test_steps_are_measured_on_the_devices_of_the_config(tmp_path):
    seen = []

    class Watching(keras.layers.Layer):
        def call(self, inputs):
            seen.append(tf.distribute.get_strategy().num_replicas_in_sync)
            return inputs

    class Watched(TinyDense):
        def load(self, input_spec, pretrained=True):
            inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
            model = keras.Model(inputs, Watching()(keras.layers.Dense(4, name="low")(inputs)))
            return Backbone("watched", model, layer_stages(model), self.batch_norm)

    distribute = {"strategy": "mirrored", "devices": DEVICES}
    settings = config(tmp_path / "run", backbone=Watched(), distribute=distribute)

    result = check(settings)

    assert result.faults == ()
    assert [each.name for each in result.estimates] == ["head", "tune"]
    assert set(seen) == {2}


def test_a_batch_that_is_too_small_for_the_devices_is_a_fault(tmp_path):
    distribute = {"strategy": "mirrored", "devices": DEVICES}

    result = check(config(tmp_path / "run", data=Ramp(batch_size=1), distribute=distribute))

    assert "a batch of 1 cannot be shared by 2 devices" in result.faults[0]


def test_seconds_count_what_a_device_was_only_told_to_do(monkeypatch):
    """A GPU, here a list of what is left to do, works on when the call has returned."""
    seconds, left = [0.0], []

    def wait():
        seconds[0] += sum(left)
        left.clear()

    monkeypatch.setattr(tf.test.experimental, "sync_devices", wait)
    monkeypatch.setattr(time, "perf_counter", lambda: seconds[0])

    assert timed(lambda: left.append(5.0)) == 5.0
