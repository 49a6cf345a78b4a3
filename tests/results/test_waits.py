from types import SimpleNamespace

import pytest
import tensorflow as tf

from kft.engine.train import PhaseResult
from kft.results.waits import input_notes


@pytest.fixture
def one_gpu(monkeypatch):
    """TensorFlow seems to have a GPU."""
    gpu = SimpleNamespace(device_type="GPU", name="/physical_device:GPU:0")
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: [gpu])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {})


def phase(*epochs):
    """A phase that was through these epochs."""
    return PhaseResult("tune", epochs, {}, {}, (), 0, 0, False, "", 1.0)


SLOW = phase({"seconds": 4.0, "input_wait": 3.0}, {"seconds": 6.0, "input_wait": 4.1})
FAST = phase({"seconds": 4.0, "input_wait": 0.1})
UNKNOWN = phase({"seconds": 4.0})


def test_a_gpu_that_waited_is_told_with_what_helps(one_gpu):
    (note,) = input_notes([SLOW, FAST, UNKNOWN], "sounds")

    assert note.startswith("tune: the GPU waited up to 71 % of the time for sounds. More")


def test_nothing_is_said_of_a_cpu():
    assert input_notes([SLOW], "sounds") == ()


def test_only_measured_epochs_count():
    assert UNKNOWN.input_wait is None
    assert phase({"seconds": 2.0, "input_wait": 1.0}, {"seconds": 9.0}).input_wait == 0.5
