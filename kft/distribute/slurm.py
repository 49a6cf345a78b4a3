"""The workers of a SLURM step, by TensorFlow's own resolver."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from kft.devices import VISIBLE, visible
from kft.errors import ConfigError
from kft.messages import one_line

if TYPE_CHECKING:
    import tensorflow as tf

TASKS = "SLURM_STEP_NUM_TASKS"
FIRST_PORT = 8888  # TensorFlow's default; the tasks of a machine count up from it
# Options of srun that give each task GPUs of its own.
OWN_GPUS = ("SLURM_GPUS_PER_TASK", "SLURM_NTASKS_PER_GPU", "SLURM_TRES_PER_TASK")


def in_step() -> bool:
    """Says whether this process is one of several tasks of a step, as ``srun`` starts them."""
    return "SLURM_PROCID" in os.environ and os.environ.get(TASKS, "1") != "1"


def slurm_resolver() -> tf.distribute.cluster_resolver.SimpleClusterResolver:
    """A cluster resolver for the tasks of this SLURM step; gives this one its GPUs.

    Raises:
        ConfigError: A variable of SLURM is missing or wrong, TensorFlow takes the machines in
            another order than SLURM, or there are fewer GPUs than tasks.
    """
    import tensorflow as tf

    try:
        spec, job, task = resolved()
        found, port = spec.task_address(job, task).rsplit(":", 1)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            where="SLURM",
            problem=f"its variables describe no step of several tasks: {one_line(error)}",
            fix="Start kft by srun in a job, or unset SLURM_PROCID to train alone",
        ) from error
    mine = os.environ.get("SLURMD_NODENAME")
    if mine not in (None, found):
        raise ConfigError(
            where="SLURM_STEP_NODELIST",
            problem=f"TensorFlow sorts machines by name and takes this one, {mine}, for {found}",
            fix="Request machines whose names sort as their numbers do, or set TF_CONFIG",
        )
    take_gpus(int(port) - FIRST_PORT, tasks_per_machine())
    # Of SLURM's own resolver, TensorFlow takes the number of GPUs that it was made with.
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec,
        task_type=job,
        task_id=task,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )


def resolved() -> tuple[tf.train.ClusterSpec, str, int]:
    """The cluster of this step, and the job and task of this process."""
    import tensorflow as tf

    # TensorFlow 2.21 cannot do without GPUs to share out (tensorflow/tensorflow#36159): it gets a
    # number of them, and shares out none, since it would name them 0, 1, 2, … whatever the job has.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=FIRST_PORT,
        gpus_per_node=int(os.environ[TASKS]),
        gpus_per_task=1,
        auto_set_gpu=False,
    )
    spec = resolver.cluster_spec()
    return spec, resolver.task_type, resolver.task_id


def tasks_per_machine() -> int:
    """The most tasks that a machine of this step has."""
    per_machine = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1")
    return max(int(count) for count in re.findall(r"(?:^|,)(\d+)", per_machine))


def take_gpus(number: int, tasks: int) -> None:
    """Hides from this task, `number` of its machine, the GPUs that are for the other `tasks`.

    Raises:
        ConfigError: The job has fewer GPUs of a machine than tasks there.
    """
    names = visible()
    of_job = os.environ.get("SLURM_GPUS_ON_NODE", "")
    if names and of_job.isdecimal() and int(of_job) < tasks:
        raise ConfigError(
            where="SLURM_GPUS_ON_NODE",
            problem=f"is {of_job} on a machine of {tasks} tasks, and two cannot train on one GPU",
            fix=f"Request --gpus-per-node={tasks}, or fewer tasks",
        )
    is_divided = any(name in os.environ for name in OWN_GPUS) or (
        of_job.isdecimal() and len(names) < int(of_job)
    )
    if is_divided or len(names) < tasks:
        return
    each = len(names) // tasks
    os.environ[VISIBLE] = ",".join(names[number * each : (number + 1) * each])
