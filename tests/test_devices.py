"""What GPUs there are, with a file of the driver, a program and TensorFlow's answers made up."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

from kft import devices
from kft.devices import announce, driver_version, missing_gpu, named_visible, visible

VERSION = """\
NVRM version: NVIDIA UNIX {}  {}  Sat Aug 19 01:15:15 UTC 2023
GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)
"""
LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-a)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-b)
  MIG 3g.20gb     Device  0: (UUID: MIG-b0)
  MIG 3g.20gb     Device  1: (UUID: MIG-b1)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-c)
"""


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """Has no driver, and nothing that hides GPUs."""
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(devices, "FIRST_GPU", tmp_path / "nvidia0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)


def put_driver(version="535.104.05", kind="x86_64 Kernel Module"):
    devices.DRIVER.write_text(VERSION.format(kind, version))


def put_smi(tmp_path, text, code=0):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{text}END\nexit {code}\n")
    program.chmod(0o755)


def put_gpus(monkeypatch, *capabilities):
    details = {
        f"GPU:{number}": {"device_name": f"NVIDIA {each[0]}", "compute_capability": each}
        for number, each in enumerate(capabilities)
    }
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: list(details))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(devices, "say", lines.append)
    monkeypatch.setattr(devices, "warn", lambda message: lines.append(f"warning: {message}"))
    return lines


def test_a_cpu_without_a_driver_is_named_and_no_more(said):
    announce()

    assert said == ["Device: CPU"]


def test_a_gpu_is_named_with_its_capability_and_those_left_over_are_counted(monkeypatch, said):
    put_gpus(monkeypatch, (8, 0), (8, 0))

    announce()

    assert said == ["Device: NVIDIA 8 (compute capability 8.0); not used: 1 more"]


def test_a_gpu_that_this_tensorflow_was_not_built_for_is_warned_of(monkeypatch, said):
    put_gpus(monkeypatch, (12, 0))

    announce()

    assert said[1].startswith("warning: this TensorFlow has no code for NVIDIA 12 (compute")


def test_a_driver_without_a_gpu_in_tensorflow_is_warned_of_with_what_mends_it(said):
    put_driver()

    announce()

    assert said[0] == "Device: CPU"
    assert said[1] == (
        "warning: NVIDIA's driver is here, but TensorFlow sees no GPU, and computes on the CPU: "
        "there are no CUDA libraries. Install them:  pip install 'tensorflow[and-cuda]'"
    )


def test_libraries_that_are_there_are_not_to_be_installed_as_if_they_were_not(monkeypatch):
    put_driver()
    monkeypatch.setattr(devices, "LIBRARY", "numpy")

    assert missing_gpu().endswith("pip install --force-reinstall 'tensorflow[and-cuda]'")

    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/cuda-11/lib64")
    assert missing_gpu().endswith("Try:  unset LD_LIBRARY_PATH")


def test_an_old_driver_and_a_tensorflow_without_cuda_are_told_apart(monkeypatch):
    put_driver("470.82.01")
    assert "driver 470.82.01 is too old for CUDA 12. Install 525 or later" in missing_gpu()

    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": False})
    assert "it was built without CUDA" in missing_gpu()

    monkeypatch.setattr(sys, "platform", "win32")
    assert "Use WSL2" in missing_gpu()


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_gpus_that_are_hidden_on_purpose_are_not_missed(hidden, monkeypatch):
    put_driver()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)

    assert missing_gpu() is None


@pytest.mark.parametrize("kind", ["x86_64 Kernel Module", "Open Kernel Module for x86_64"])
def test_the_driver_says_its_version(kind):
    put_driver("550.54.14", kind)

    assert driver_version() == "550.54.14"


def test_where_the_driver_has_no_file_nvidia_smi_is_asked(tmp_path):
    assert driver_version() is None

    put_smi(tmp_path, "535.104.05\n535.104.05\n")
    assert driver_version() == "535.104.05"
    assert "TensorFlow sees no GPU" in missing_gpu()

    put_smi(tmp_path, "NVIDIA-SMI has failed because it couldn't communicate\n", code=9)
    assert driver_version() is None
    assert missing_gpu() is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0,2", ("0", "2")),
        ("GPU-8932f937, MIG-GPU-8932/1/0", ("GPU-8932f937", "MIG-GPU-8932/1/0")),
        ("0,-1,1", ("0",)),
        ("", ()),
    ],
)
def test_names_of_gpus_are_read_as_cuda_reads_them(text, names, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)

    assert named_visible() == visible() == names


def test_what_nothing_hides_is_what_the_driver_lists_in_mig_instances_if_so_divided(tmp_path):
    assert visible() == ()

    put_smi(tmp_path, LISTED)

    assert visible() == ("GPU-a", "MIG-b0", "MIG-b1", "GPU-c")


@pytest.mark.parametrize(("before", "after"), [(None, "true"), ("false", "false")])
def test_memory_of_gpus_grows_unless_the_environment_says_otherwise(before, after):
    """In a process of its own, since the tests have imported kft; TensorFlow reads the variable."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_FORCE_GPU_ALLOW_GROWTH"}
    if before is not None:
        environment["TF_FORCE_GPU_ALLOW_GROWTH"] = before
    code = "import kft, os, sys; print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'], *sys.modules)"

    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    value, *modules = shown.stdout.split()
    assert value == after
    assert "tensorflow" not in modules
