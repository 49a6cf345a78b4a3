"""What TensorBoard reads."""

import socket

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kft.engine.callbacks.event_file import EventFile


def test_tensorboard_reads_the_scalars_of_every_file(tmp_path):
    for epochs in ((1, 2), (3,)):
        file = EventFile(tmp_path / "train")
        for epoch in epochs:
            file.add({"loss": 1.0 / epoch, "accuracy": 0.5}, epoch)
        file.close()

    found = [EventAccumulator(str(path)).Reload() for path in sorted(tmp_path.glob("train/*"))]

    steps = [[(e.step, e.value) for e in each.Scalars("loss")] for each in found]
    assert steps == [[(1, 1.0), (2, 0.5)], [(3, pytest.approx(1 / 3))]]
    assert found[0].Tags()["scalars"] == ["loss", "accuracy"]


def test_the_scalars_can_be_seen_while_the_file_is_open(tmp_path):
    file = EventFile(tmp_path)

    file.add({"loss": 1.0}, 1)

    assert len(EventAccumulator(str(tmp_path)).Reload().Scalars("loss")) == 1
    file.close()


def test_the_name_of_the_file_holds_nothing_but_the_time(tmp_path):
    EventFile(tmp_path).close()

    (path,) = tmp_path.iterdir()

    prefix, _, time = path.name.rpartition(".")
    assert prefix == "events.out.tfevents"
    assert time.isdigit()
    assert socket.gethostname() not in path.name
