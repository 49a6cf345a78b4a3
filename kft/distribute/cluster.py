"""The devices and processes that work together: those of TensorFlow's strategy in scope."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kft.distribute.shares import BatchSharding
from kft.host_memory import on_host

if TYPE_CHECKING:
    import tensorflow as tf

# Bytes that all devices together send to each other: enough for the network, little for a GPU.
SENT_AT_ONCE = 1 << 26


def replicas() -> int:
    """The number of devices of all processes that train together."""
    import tensorflow as tf

    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def workers() -> int:
    """The number of processes that train together."""
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    return sum(len(tasks) for tasks in strategy.cluster_resolver.cluster_spec().as_dict().values())


def worker() -> int:
    """The number of this process, counted from 0; the chief is the first."""
    import tensorflow as tf

    if workers() == 1:
        return 0
    resolver = tf.distribute.get_strategy().cluster_resolver
    others = "chief" in resolver.cluster_spec().as_dict() and resolver.task_type == "worker"
    return int(resolver.task_id) + int(others)


def is_chief() -> bool:
    """Says whether this process is the one that writes."""
    return worker() == 0


def min_over_workers(number: int) -> int:
    """Returns the smallest of the numbers of all processes; each waits for the others.

    What depends on a machine, such as its free memory, must be the same for all who decide by it.
    """
    import tensorflow as tf

    if workers() == 1:
        return number
    given = tf.distribute.get_strategy().experimental_distribute_values_from_function(
        lambda _: tf.constant([number], tf.int64)
    )
    return min(int(each[0]) for each in by_replica(given))


def by_replica(values: Any) -> list[Any]:
    """The values of each device, over all processes: structures of tensors ``(n, …)``.

    With several processes the shapes must be the same for all. The order is that of no list of
    devices, but always the same.
    """
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    local = strategy.experimental_local_results if workers() == 1 else gathered
    each = [local(value) for value in tf.nest.flatten(values)]
    return [tf.nest.pack_sequence_as(values, flat) for flat in zip(*each, strict=True)]


def gathered(value: Any, at_once: int = SENT_AT_ONCE) -> list[tf.Tensor]:
    """The tensors ``(n, …)`` of all devices of all processes.

    They travel in pieces of a few rows, each of `at_once` bytes over all devices or of one row: a
    feature map of a batch, of all devices at once, takes gigabytes of each of them.
    """
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    first = strategy.experimental_local_results(value)[0]
    rows, row = int(first.shape[0]), max(first.dtype.size, 4) * math.prod(first.shape[1:])
    step = max(at_once // max(row * replicas(), 1), 1)
    pieces = []
    for start in range(0, rows, step):
        here = tf.constant([start, min(start + step, rows)])
        piece = gathering(strategy)(value, here)
        with on_host():
            pieces.append(tf.split(tf.identity(piece), replicas()))
    with on_host():
        return [tf.concat(of_one, axis=0) for of_one in zip(*pieces, strict=True)]


@functools.cache
def gathering(strategy: tf.distribute.Strategy) -> Callable[[Any, tf.Tensor], tf.Tensor]:
    """A function that joins rows of the tensors of all devices, one graph for each shape.

    It takes the tensors, and the first of the rows and the one after the last.
    """
    import tensorflow as tf

    def sent(value: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        value = value[rows[0] : rows[1]]
        # No short numbers but float16 travel (TensorFlow 2.21).
        if value.dtype.size >= 4:
            return value
        return tf.cast(value, tf.float32 if value.dtype.is_floating else tf.int32)

    def gather(value: Any, rows: tf.Tensor) -> tf.Tensor:
        joined = strategy.gather(strategy.run(sent, args=(value, rows)), axis=0)
        return tf.cast(joined, strategy.experimental_local_results(value)[0].dtype)

    joining: Callable[[Any, tf.Tensor], tf.Tensor] = tf.function(gather, reduce_retracing=True)
    return joining


def shared_out(make: Callable[[BatchSharding], tf.data.Dataset]) -> Any:
    """Returns a dataset whose every element is one for each device, of those `make` gives.

    On a single device it is the dataset itself. Its functions are ops of TensorFlow alone: to look
    for Python conditions in them, as autograph does, takes a second for each run.
    """
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert
    def of_process(context: tf.distribute.InputContext) -> tf.data.Dataset:
        here = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * here
        return make(BatchSharding(context.num_replicas_in_sync, first, here))

    return tf.distribute.get_strategy().distribute_datasets_from_function(of_process)
