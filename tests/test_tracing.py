"""Nothing is traced twice: of a short run, tracing is what takes longest."""

import gc
import weakref
from functools import wraps

import keras
import pytest
from tiny import Ramp, Vectors, tiny_task, training, vector_split

from kft.cache.decode import read
from kft.cache.inference import outputs_of
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.recipe.unfreeze import UnfreezeAll


@pytest.fixture
def calls(monkeypatch):
    """Grows by one whenever a dropout layer is called, as the tiny backbone does when traced."""
    found = []
    plain = keras.layers.Dropout.call

    @wraps(plain)
    def call(self, inputs, training=False):
        found.append(training)
        return plain(self, inputs, training)

    monkeypatch.setattr(keras.layers.Dropout, "call", call)
    return found


def test_a_phase_traces_its_step_and_its_validation_once(calls):
    """Without `build_metrics` the step is traced twice (tensorflow 2.21, keras 3.15)."""
    splits = Ramp().load(0)
    task = tiny_task(splits, Classifier(dropout=0))
    phase = Phase(name="all", epochs=2, optimizer={"kind": "adam"}, unfreeze=UnfreezeAll())
    calls.clear()

    train(training(task, splits), [phase])

    assert len(calls) == 2


def test_all_splits_share_one_graph_of_a_model(calls):
    model = tiny_task(Ramp().load(0), Classifier(dropout=0)).model
    calls.clear()

    for size in (22, 9):
        outputs_of(model, vector_split(size), "Computing")

    assert len(calls) == 1


def test_a_graph_does_not_keep_its_model():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    outputs_of(model, vector_split(3), "Computing")
    alive = weakref.ref(model)

    del model
    gc.collect()

    assert alive() is None


class Counted(Vectors):
    """Notes whenever it decodes."""

    seen: list[str] = []

    def decode(self, raw):
        self.seen.append("decoded")
        return raw


def test_all_splits_share_one_graph_of_decoding():
    counted = Counted()

    read(Ramp(input=counted).load(0), "stop")

    assert len(counted.seen) == 1
