"""When one of several workers stops: the others say which, and end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kft.distribute import workers
from kft.errors import TrainingError

NAMED = re.compile(r"(?:remote target|reported from) /job:(\w+)(?:/replica:\d+)?/task:(\d+)")
LEADER = "/tensorflow.CoordinationService/"  # which the first worker is
ABORTED = "Collective ops is aborted"


@contextmanager
def lost_worker_told() -> Iterator[None]:
    """Turns what TensorFlow says when another worker has gone into one message that names it.

    A worker whose process ends is missed at once, in the sum that all were working on; one that
    hangs or is cut off, once TensorFlow's coordination has not heard of it for some ten seconds.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        message = str(error)
        gone = isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError))
        if workers() == 1 or not (gone or ABORTED in message):
            raise
        raise TrainingError(
            where=name_in(message),
            problem="has stopped or cannot be reached, so the others cannot go on",
            fix="Look into its log for the reason, then start all workers again: with --resume, if "
            "all can read output_dir, or else with another one",
        ) from error


def name_in(message: str) -> str:
    """Returns which worker TensorFlow's `message` says is gone, with its address."""
    import tensorflow as tf

    spec = tf.distribute.get_strategy().cluster_resolver.cluster_spec()
    named = NAMED.search(message)
    if named is not None:
        job, task = named[1], int(named[2])
    elif LEADER in message:
        job, task = "chief" if "chief" in spec.jobs else "worker", 0
    else:
        return "another worker"
    return f"{job} {task} ({spec.task_address(job, task)})"
