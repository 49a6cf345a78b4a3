from dataclasses import replace

import keras
import pytest
import tensorflow as tf
from tiny import Ramp, TinyDense, spoilt
from tiny_runs import config

from kft.backbone import Backbone, layer_stages
from kft.cache.store import entries
from kft.workflows.check import check


class Hungry(keras.layers.Layer):
    """Asks for more memory than there is, once it is given examples."""

    def call(self, inputs):
        if inputs.shape[0] is not None:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating 9 TB")
        return inputs


class HungryBackbone(TinyDense):
    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        model = keras.Model(inputs, Hungry()(keras.layers.Dense(4, name="low")(inputs)))
        return Backbone("hungry", model, layer_stages(model), self.batch_norm)


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


def test_a_phase_that_does_not_fit_into_memory_is_a_fault(tmp_path):
    settings = config(tmp_path / "run", backbone=HungryBackbone(), phases=config("run").phases[:1])

    (fault,) = check(settings).faults

    assert fault.startswith(f"phase {settings.phases[0].name!r}: a step does not fit into memory")
    assert fault.endswith("Lower its batch_size and raise accumulate_steps")
