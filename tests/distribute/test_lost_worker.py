"""What the others do when a worker hangs; `test_launch` has one die."""

import json
import time

import pytest
import tensorflow as tf
import workers
from distributed import BASE, LONGER

from kft.distribute.launch import run_arguments
from kft.distribute.lost_worker import NAMED, name_in, worker_loss_as_error

RESET = "from remote target /job:worker/replica:0/task:1"
HEARTBEAT = "Deadline Exceeded\n\nRPC: /tensorflow.CoordinationService/Heartbeat"
TWO = {"worker": ["a:1", "b:2"]}


@pytest.mark.parametrize(
    "message",
    [
        "Collective ops is aborted by: recvmsg:Connection reset by peer\nAdditional GRPC error "
        "information from remote target /job:worker/replica:0/task:1 while calling …",
        "Collective ops is aborted by: Error reported from /job:worker/task:1: The following tasks "
        "are unhealthy (stopped sending heartbeats):\n/job:worker/replica:0/task:1",
    ],
)
def test_a_worker_that_ended_or_hangs_is_named(message):
    """As TensorFlow 2.21 had them when a process was killed, and when one was stopped."""
    assert NAMED.search(message).groups() == ("worker", "1")


class Cluster:
    """A strategy of several workers, as far as it says who they are."""

    def __init__(self, jobs):
        self.cluster_resolver = self
        self.cluster_spec = lambda: tf.train.ClusterSpec(jobs)


@pytest.mark.parametrize(
    ("jobs", "message", "name"),
    [
        (TWO, RESET, "worker 1 (b:2)"),
        (TWO, HEARTBEAT, "worker 0 (a:1)"),
        ({"chief": ["c:3"], "worker": ["a:1"]}, HEARTBEAT, "chief 0 (c:3)"),
        (TWO, "something else", "another worker"),
    ],
)
def test_its_address_is_told_too(jobs, message, name, monkeypatch):
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: Cluster(jobs))

    assert name_in(message) == name


def test_an_interrupt_that_tensorflow_makes_an_error_of_stays_one():
    """As TensorFlow 2.21 has it; `test_launch` interrupts a run that waits."""
    message = "MISMATCH … types: ORIGINAL UnavailableError REPLACED BY KeyboardInterrupt: …"

    with pytest.raises(KeyboardInterrupt), worker_loss_as_error():
        raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="something else"), worker_loss_as_error():
        raise RuntimeError("something else")


def test_where_there_are_no_other_workers_errors_stay_what_they_are():
    with pytest.raises(tf.errors.UnavailableError), worker_loss_as_error():
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted")


# TensorFlow gives a worker up after 10 s; the rest is for writing, on a busy machine.
SECONDS_TO_NOTICE = 60


@pytest.mark.slow
@pytest.mark.parametrize("hung", [0, 1])
def test_when_a_worker_hangs_the_other_stops_and_names_it(hung, tmp_path):
    stop = {"name": "SIGSTOP", "worker": hung, "epoch": 2, "step": 1}
    callbacks = [{"kind": "signals:SignalsItself", **stop}]
    config = tmp_path / "hangs.json"
    output = tmp_path / "run"
    settings = {"callbacks": callbacks, "output_dir": str(output)}
    config.write_text(json.dumps({**BASE, **LONGER, **settings}))
    arguments = run_arguments(str(config), [], ["tiny", "signals"], verbose=False)
    places = {"KFT_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    processes = workers.start(["-m", "kft", *arguments], **places)

    try:
        next(line for line in processes[hung].stdout if "SIGSTOP" in line)
        began = time.monotonic()
        printed, _ = processes[1 - hung].communicate(timeout=4 * SECONDS_TO_NOTICE)
        seconds = time.monotonic() - began
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    assert processes[1 - hung].returncode == 1, printed
    assert f"Error: worker {hung} (127.0.0.1:" in printed
    assert "Traceback" not in printed
    assert seconds < SECONDS_TO_NOTICE
    assert (output / "checkpoints" / "best.weights.h5").is_file() == (hung == 1)
