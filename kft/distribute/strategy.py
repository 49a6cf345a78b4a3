"""Which devices and machines train together: the ``distribute`` of a run config."""

from __future__ import annotations

import functools
import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from kft.distribute.cluster import replicas
from kft.distribute.lost_worker import named
from kft.distribute.slurm import in_step, slurm_resolver
from kft.distribute.tf_config import described_by
from kft.errors import ConfigError
from kft.messages import one_line
from kft.progress import say
from kft.settings.component import Settings, repeated

if TYPE_CHECKING:
    import tensorflow as tf

REFUSED = {
    "parameter_server": "Keras 3 has no trainer for parameter servers",
    "tpu": "TensorFlow 2.21 has no build for TPUs",
}
ONLY_WORKERS = "List only jobs 'chief' and 'worker' in it"


def refuse_unsupported(strategy: Any) -> Any:
    """Returns the name of a strategy, or says why it is not supported."""
    if isinstance(strategy, str) and strategy in REFUSED:
        raise PydanticCustomError(
            "strategy", f"{strategy!r} is not supported: {REFUSED[strategy]}. Use 'auto'"
        )
    return strategy


class Distribute(Settings):
    """Which devices train together, with equal results: a batch is one batch over all of them.

    Attributes:
        strategy: ``none``: one device. ``mirrored``: all GPUs of one machine. ``multi_worker``:
            the processes of a cluster, which ``TF_CONFIG`` or SLURM describes. ``auto``: the
            last where there is a cluster, else ``mirrored`` if there are several GPUs.
        devices: Of one machine, such as ``["GPU:0", "GPU:1"]``; null is all GPUs. ``CPU:0`` and
            ``CPU:1`` are halves of the processor, to try it out.
        learning_rates: How the rates of all phases are scaled; ``batch_size`` stays as it is: the
            ``same``, or times the number of devices (``linear``; Goyal et al. 2017) or its square
            root (``sqrt``), for a batch that was made that many times larger.
        augment_on: What augments and mixes training examples: the ``cpu``, while the device trains,
            or the ``device`` itself, where a fast GPU waits for a slow CPU. Equal to rounding.
    """

    strategy: Annotated[
        Literal["auto", "none", "mirrored", "multi_worker"], BeforeValidator(refuse_unsupported)
    ] = "auto"
    devices: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    learning_rates: Literal["same", "linear", "sqrt"] = "same"
    augment_on: Literal["cpu", "device"] = "cpu"

    @model_validator(mode="after")
    def _check_devices(self) -> Self:
        if self.devices is not None and self.strategy in ("none", "multi_worker"):
            raise PydanticCustomError(
                "devices",
                f"'devices' names those of 'mirrored', and the strategy is {self.strategy!r}. "
                "Leave one of the two out; CUDA_VISIBLE_DEVICES says what a worker sees",
            )
        twice = repeated(self.devices or ())
        if twice:
            raise PydanticCustomError("devices", f"names {twice[0]!r} twice. Name each device once")
        return self

    def build(self) -> tf.distribute.Strategy:
        """Returns the strategy, the same each time. Call it before TensorFlow does anything else.

        Raises:
            ConfigError: There are no such devices, or no such cluster.
        """
        cluster = cluster_here() if self.strategy in ("auto", "multi_worker") else None
        if self.strategy == "multi_worker" or cluster is not None:
            return multi_worker(cluster, self.devices)
        return self.on_this_machine()

    def on_this_machine(self) -> tf.distribute.Strategy:
        """Returns that of this process alone, for what only looks: it waits for no other workers.

        Raises:
            ConfigError: There are no such devices.
        """
        import tensorflow as tf

        devices = self.devices or gpus()
        several = self.devices is not None or len(devices) > 1
        if self.strategy == "mirrored" or (self.strategy != "none" and several):
            return mirrored(tuple(devices))
        return tf.distribute.get_strategy()

    @property
    def augments_on_device(self) -> bool:
        """Whether the device that trains augments and mixes its examples."""
        return self.augment_on == "device"

    def rate_factor(self) -> float:
        """The factor of the learning rates; call it in the scope of the strategy."""
        power = {"same": 0.0, "sqrt": 0.5, "linear": 1.0}[self.learning_rates]
        return math.pow(replicas(), power)


def gpus() -> tuple[str, ...]:
    """Returns the names of all GPUs of this machine."""
    import tensorflow as tf

    return tuple(f"GPU:{number}" for number in range(len(tf.config.list_physical_devices("GPU"))))


@functools.cache  # A second strategy of the same devices would confuse its sums with the first's.
def mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """Returns the strategy that trains on `devices` of this machine."""
    import tensorflow as tf

    divide_cpu(sum(device.startswith("CPU") for device in devices))
    logical = {device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()}
    there = ", ".join(sorted(logical))
    missing = [device for device in devices if device not in logical]
    if missing or not devices:
        raise ConfigError(
            where="distribute.devices" if missing else "distribute.strategy",
            problem=f"there is no {missing[0] if missing else 'GPU'}, but {there}",
            fix="Name devices of this list, or set distribute.strategy to 'none'",
        )
    return tf.distribute.MirroredStrategy(list(devices))


def divide_cpu(count: int) -> None:
    """Makes `count` logical devices of the processor, unless TensorFlow has begun to use it."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    if count < 2 or tf.config.get_logical_device_configuration(cpu) is not None:
        return
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * count
    )


def cluster_here() -> str | None:
    """The source of the cluster's description, ``TF_CONFIG`` or ``SLURM``; None without a cluster.

    Raises:
        ConfigError: ``TF_CONFIG`` is none, or of a kind of cluster that cannot train.
    """
    try:
        jobs, job, index = described_by(os.environ.get("TF_CONFIG", ""))
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            "TF_CONFIG",
            f"is not what TensorFlow takes: {error}",
            "Set it to a cluster and a task, as docs/distribute shows, or unset it",
        ) from error
    if "ps" in jobs:
        raise ConfigError(
            "TF_CONFIG", f"has a job 'ps', and {REFUSED['parameter_server']}", ONLY_WORKERS
        )
    others = sorted(jobs.keys() - {"chief", "worker"})
    if others:
        raise ConfigError(
            "TF_CONFIG", f"has a job {others[0]!r}, which does not train", ONLY_WORKERS
        )
    if sum(jobs.values()) > 1:
        if job not in ("chief", "worker") or index not in range(jobs.get(job, 0)):
            raise ConfigError(
                "TF_CONFIG",
                f"says that this is task {index!r} of job {job!r}, of jobs {jobs}",
                "Name a task of 'chief' or 'worker' that is in the cluster",
            )
        return "TF_CONFIG"
    return "SLURM" if in_step() else None


@functools.cache
def multi_worker(
    cluster: str | None, devices: tuple[str, ...] | None
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Returns the strategy of the processes that `cluster` describes, once all are there."""
    import tensorflow as tf

    if cluster is None:
        raise ConfigError(
            where="distribute.strategy 'multi_worker'",
            problem="neither TF_CONFIG nor SLURM describes several workers",
            fix="Start it by `kft launch --workers N`, by srun or as a TFJob",
        )
    if devices is not None:
        raise ConfigError(
            where="distribute.devices",
            problem="a worker of several takes all the GPUs that it sees",
            fix="Leave distribute.devices out, and set CUDA_VISIBLE_DEVICES for each worker",
        )
    resolver = (
        slurm_resolver()
        if cluster == "SLURM"
        else tf.distribute.cluster_resolver.TFConfigClusterResolver()
    )
    return joined(resolver)


def joined(
    resolver: tf.distribute.cluster_resolver.ClusterResolver,
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Returns the strategy of the cluster of `resolver`, once all of its workers are there.

    Raises:
        ConfigError: This one cannot listen at its address, or cannot reach the first.
    """
    import tensorflow as tf

    spec = resolver.cluster_spec()
    me = named(spec, resolver.task_type, resolver.task_id)
    count = sum(spec.num_tasks(job) for job in spec.jobs)
    say(f"{me} waits until all {count} workers are there")
    try:
        with own_signals():
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        raise ConfigError(
            where=me,
            problem=f"cannot join the other workers: {one_line(error)}",
            fix="Free its port, or correct the addresses, which must be the same for all workers",
        ) from error


@contextmanager
def own_signals() -> Iterator[None]:
    """Lets Ctrl-C end the process, and takes SIGTERM back from TensorFlow in the end.

    Python would look at Ctrl-C once TensorFlow returns, which may wait for an hour; and TensorFlow
    2.21 lets no SIGTERM end a process that has joined others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
