"""Which strategy a config and its environment ask for."""

import json
import os

import pytest
import tensorflow as tf
import two_devices

from kft.config.run_config import load_config
from kft.distribute.cluster import replicas
from kft.distribute.slurm import slurm_resolver
from kft.distribute.strategy import Distribute, cluster_here, mirrored, multi_worker
from kft.errors import ConfigError

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


def tf_config(cluster, task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def set_all(monkeypatch, environment):
    for name in ("TF_CONFIG", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"TF_CONFIG": ""}, None),
        (tf_config(CLUSTER, {"type": "worker", "index": 1}), "TF_CONFIG"),
        (tf_config(CLUSTER, {"type": "chief", "index": 0}), "TF_CONFIG"),
        (tf_config(CLUSTER, {"type": "worker", "index": "1"}), "TF_CONFIG"),
        (tf_config({"worker": ["a:1"]}, {"type": "worker", "index": 0}), None),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"}, "SLURM"),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_NTASKS": "4"}, None),
    ],
)
def test_the_environment_describes_a_cluster(environment, found, monkeypatch):
    set_all(monkeypatch, environment)

    assert cluster_here() == found


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TF_CONFIG": "{"}, "TF_CONFIG: is not what TensorFlow takes"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG: is not what TensorFlow takes"),
        (tf_config({"worker": "a:1,b:1"}, {}), "job 'worker' has no list of addresses"),
        (tf_config({"worker": ["a:1", 2]}, {}), "job 'worker' has no list of addresses"),
        (tf_config({"worker": ["a:1", "a:1"]}, {}), "two tasks have one address, of a:1, a:1"),
        (tf_config({**CLUSTER, "chief": ["a:1", "d:1"]}, {}), "there is more than one chief"),
        (
            tf_config({**CLUSTER, "ps": ["d:1"]}, {"type": "worker", "index": 0}),
            "has a job 'ps', and Keras 3 has no trainer for parameter servers",
        ),
        (tf_config({**CLUSTER, "evaluator": ["d:1"]}, {}), "has a job 'evaluator', which does not"),
        (tf_config(CLUSTER, {"type": "evaluator", "index": 0}), "task 0 of job 'evaluator'"),
        (tf_config(CLUSTER, {"type": "worker", "index": 2}), "task 2 of job 'worker'"),
    ],
)
def test_a_cluster_that_cannot_train_is_refused(environment, message, monkeypatch):
    set_all(monkeypatch, environment)

    with pytest.raises(ConfigError, match=message):
        cluster_here()


STEP = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "n[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURMD_NODENAME": "n2",
}


ALL = {"SLURM_GPUS_ON_NODE": "4"}


@pytest.mark.parametrize(
    ("gpus", "of_job", "given"),
    [
        (None, {}, None),
        ("", {}, ""),
        ("0", {}, "0"),
        ("0,1,2,3", ALL, "2,3"),
        ("4,5,6,7", ALL, "6,7"),
        ("GPU-a,GPU-b", {}, "GPU-b"),
        ("0,1,2", {}, "1"),
        ("2,3", ALL, "2,3"),
        ("0,1", {"SLURM_GPUS_PER_TASK": "2"}, "0,1"),
    ],
    ids=[
        "no GPU",
        "none visible",
        "one of the task's own",
        "all of the machine",
        "those that SLURM gave to the job",
        "by UUID",
        "one left over",
        "fewer than the job has",
        "two of the task's own",
    ],
)
def test_a_slurm_step_is_a_cluster_and_its_tasks_share_the_gpus_they_see(
    gpus, of_job, given, monkeypatch
):
    monkeypatch.setenv("PATH", "")  # no nvidia-smi
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    set_all(monkeypatch, STEP | of_job | ({} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus}))

    resolver = slurm_resolver()

    workers = ["n1:8888", "n1:8889", "n2:8888", "n2:8889"]
    assert resolver.cluster_spec().as_dict() == {"worker": workers}
    assert (resolver.task_type, resolver.task_id) == ("worker", 3)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == given


def test_two_tasks_on_one_gpu_are_refused(monkeypatch):
    set_all(monkeypatch, STEP | {"SLURM_GPUS_ON_NODE": "1", "CUDA_VISIBLE_DEVICES": "0"})

    with pytest.raises(ConfigError, match="is 1 on a machine of 2 tasks.*--gpus-per-node=2"):
        slurm_resolver()


def test_tensorflow_is_told_of_the_gpus_that_a_task_sees(monkeypatch):
    set_all(monkeypatch, STEP)

    assert slurm_resolver().num_accelerators() == {"GPU": 0}

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0", "GPU:1"])
    assert slurm_resolver().num_accelerators() == {"GPU": 2}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"SLURM_STEP_NODELIST": None}, "SLURM_STEP_NODELIST not found"),
        ({"SLURM_STEP_TASKS_PER_NODE": "1"}, "Requested 4 tasks"),
        ({"SLURM_STEP_NUM_TASKS": "many"}, "'many'"),
        ({"SLURM_STEP_NODELIST": "n[1-"}, "Invalid hostlist"),
        ({"SLURM_PROCID": "9"}, "No such job"),
    ],
)
def test_a_slurm_step_that_is_half_described_is_refused(changed, message, monkeypatch):
    monkeypatch.setenv("PATH", "")
    set_all(monkeypatch, {k: v for k, v in (STEP | changed).items() if v is not None})

    assert cluster_here() == "SLURM"
    with pytest.raises(ConfigError, match=f"describe no step of several tasks: .*{message}"):
        slurm_resolver()


def test_tensorflow_still_cannot_do_without_gpus_in_a_slurm_step(monkeypatch):
    """TensorFlow 2.21 asks nvidia-smi; once it does not, `slurm_resolver` need tell it of none."""
    monkeypatch.setenv("PATH", "")
    set_all(monkeypatch, STEP)

    with pytest.raises(FileNotFoundError, match="nvidia-smi"):
        tf.distribute.cluster_resolver.SlurmClusterResolver()


def test_machines_that_tensorflow_would_mix_up_are_refused(monkeypatch):
    """TensorFlow 2.21 sorts n10 before n2; once it does not, the check can go."""
    many = {"SLURM_STEP_NODELIST": "n[1-10]", "SLURM_STEP_TASKS_PER_NODE": "1(x10)"}
    set_all(monkeypatch, STEP | many | {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "10"})

    with pytest.raises(ConfigError, match="takes this one, n2, for n10"):
        slurm_resolver()


@pytest.mark.parametrize("strategy", ["tpu", "parameter_server", "mirored"])
def test_other_strategies_are_refused_with_the_reason(strategy):
    reasons = {"tpu": "no build for TPUs", "parameter_server": "no trainer", "mirored": "'auto'"}

    with pytest.raises(ConfigError, match=reasons[strategy]):
        load_config(
            {
                "data": {"kind": "tiny:Ramp"},
                "backbone": {"kind": "tiny:TinyDense"},
                "distribute": {"strategy": strategy},
            }
        )


def test_one_device_needs_no_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)

    for strategy in ("auto", "none"):
        assert Distribute(strategy=strategy).build() is tf.distribute.get_strategy()


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match="there is no GPU:0"):
        Distribute(devices=("GPU:0",)).build()
    with pytest.raises(ValueError, match="the strategy is 'none'"):
        Distribute(strategy="none", devices=("GPU:0",))
    with pytest.raises(ValueError, match="'CPU:0' twice"):
        Distribute(devices=("CPU:0", "CPU:0"))
    with pytest.raises(ConfigError, match="distribute.devices: there is no GPU:7"):
        mirrored(("GPU:7",))
    with pytest.raises(ConfigError, match="neither TF_CONFIG nor SLURM"):
        multi_worker(None, None)
    with pytest.raises(ConfigError, match="takes all the GPUs that it sees"):
        multi_worker("TF_CONFIG", ("GPU:0",))


def test_learning_rates_go_with_the_number_of_devices_where_that_is_wished():
    with two_devices.mirrored().scope():
        assert replicas() == 2
        rates = [Distribute(learning_rates=how).rate_factor() for how in ("same", "sqrt", "linear")]

    assert rates == [1.0, 2**0.5, 2.0]


@pytest.mark.parametrize("strategy", ["auto", "multi_worker"])
def test_what_only_looks_takes_the_devices_of_its_machine_and_waits_for_no_worker(
    monkeypatch, strategy
):
    set_all(monkeypatch, tf_config(CLUSTER, {"type": "chief", "index": 0}))

    found = Distribute(strategy=strategy).on_this_machine()

    assert found is tf.distribute.get_strategy()
