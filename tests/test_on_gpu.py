"""What only a GPU can show; `pytest --gpu -n 0` runs these."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

from kft.config.run_config import load_config
from kft.devices import gpus, missing_gpu
from kft.workflows.run import run

pytestmark = pytest.mark.gpu


def test_tensorflow_sees_the_gpus_of_this_machine():
    assert missing_gpu() is None
    assert gpus()


def test_a_run_on_a_gpu_ends_with_a_verified_export(tmp_path):
    overrides = [f"output_dir={tmp_path / 'run'}", "effort=quick"]

    result = run(load_config("quickstart", overrides))

    assert result.scores["test"]["accuracy"] > 0.9
    assert result.exports


def test_memory_grows_and_leaves_room_for_another_process():
    tf.ones((1024, 1024)) @ tf.ones((1024, 1024))

    code = "import kft, tensorflow as tf; print(tf.ones((1024, 1024), 'float32')[0, 0].numpy())"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )

    assert shown.stdout.strip() == "1.0"
    assert tf.config.experimental.get_memory_info("GPU:0")["peak"] < 2**30
