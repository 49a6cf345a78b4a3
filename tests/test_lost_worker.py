"""What TensorFlow says when a worker has gone; `test_launch` has one die."""

import pytest
import tensorflow as tf

from kft.lost_worker import NAMED, lost_worker_told, name_in

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


def test_where_there_are_no_other_workers_errors_stay_what_they_are():
    with pytest.raises(tf.errors.UnavailableError), lost_worker_told():
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted")
