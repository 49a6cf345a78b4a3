"""The workers of a SLURM step, by TensorFlow's own resolver."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from kft.errors import ConfigError
from kft.messages import one_line

if TYPE_CHECKING:
    import tensorflow as tf

TASKS = "SLURM_STEP_NUM_TASKS"


def in_step() -> bool:
    """Says whether this process is one of several tasks of a step, as ``srun`` starts them."""
    return "SLURM_PROCID" in os.environ and os.environ.get(TASKS, "1") != "1"


def slurm_resolver() -> tf.distribute.cluster_resolver.SlurmClusterResolver:
    """A cluster resolver for the tasks of this SLURM step.

    Raises:
        ConfigError: A variable of SLURM is missing or wrong, or TensorFlow takes the machines
            in another order than SLURM.
    """
    try:
        resolver, found = resolved()
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
    return resolver


def resolved() -> tuple[tf.distribute.cluster_resolver.SlurmClusterResolver, str]:
    """A cluster resolver for this step, and the machine that it takes this one for."""
    import tensorflow as tf

    kind = tf.distribute.cluster_resolver.SlurmClusterResolver
    if shares_gpus():
        resolver = kind()
    else:
        # TensorFlow 2.21 cannot do without GPUs to share out (tensorflow/tensorflow#36159): it gets
        # a number of them, and shares out none.
        tasks = int(os.environ[TASKS])
        resolver = kind(gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False)
    address = resolver.cluster_spec().task_address(resolver.task_type, resolver.task_id)
    return resolver, address.rsplit(":", 1)[0]


def shares_gpus() -> bool:
    """Says whether the tasks of a machine all see its GPUs, and are to have a part each."""
    per_machine = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1")
    tasks = max(int(count) for count in re.findall(r"(?:^|,)(\d+)", per_machine))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return shutil.which("nvidia-smi") is not None
    return len([name for name in visible.split(",") if name]) >= tasks
