"""If one of several workers stops, the others end with an error that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kft.distribute.cluster import workers
from kft.errors import TrainingError

if TYPE_CHECKING:
    import tensorflow as tf

NAMED = re.compile(r"(?:remote target|reported from) /job:(\w+)(?:/replica:\d+)?/task:(\d+)")
LEADER = "/tensorflow.CoordinationService/"  # which the first worker is
ABORTED = "Collective ops is aborted"
INTERRUPTED = "REPLACED BY KeyboardInterrupt"


class LostWorkerError(TrainingError):
    """Another worker has stopped, so this one cannot go on."""


@contextmanager
def worker_loss_as_error() -> Iterator[None]:
    """Turns the errors of TensorFlow for a lost worker into one message that names it.

    A worker whose process ends is missed at once, in the sum that all were working on; one that
    hangs or is cut off, once TensorFlow's coordination has not heard of it for some ten seconds.
    An interrupt stays one: where it comes while TensorFlow waits for one that leaves by the same,
    TensorFlow 2.21 makes a RuntimeError of both.
    """
    import tensorflow as tf

    try:
        yield
    except RuntimeError as error:
        if INTERRUPTED not in str(error):
            raise
        raise KeyboardInterrupt from error
    except tf.errors.OpError as error:
        message = str(error)
        gone = isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError))
        if workers() == 1 or not (gone or ABORTED in message):
            raise
        raise LostWorkerError(
            where=name_in(message),
            problem="has stopped or cannot be reached, so the others cannot go on",
            fix="Read its log for the reason, then start all workers again: with --resume, if "
            "all can read output_dir, or else with another one",
        ) from error


def name_in(message: str) -> str:
    """The worker that TensorFlow's `message` says is gone, with its address."""
    import tensorflow as tf

    spec = tf.distribute.get_strategy().cluster_resolver.cluster_spec()
    found = NAMED.search(message)
    if found is not None:
        job, task = found[1], int(found[2])
    elif LEADER in message:
        job, task = "chief" if "chief" in spec.jobs else "worker", 0
    else:
        return "another worker"
    return named(spec, job, task)


def named(spec: tf.train.ClusterSpec, job: str, task: int) -> str:
    """Returns a task of a cluster with its address, for people."""
    return f"{job} {task} ({spec.task_address(job, task)})"
