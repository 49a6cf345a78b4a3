"""What is held for all of a run lies in the memory of the host, whatever the device in scope."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from kft.host_memory import from_memory

SCRIPT = Path(__file__).with_name("held_on_second_cpu.py")


def test_rows_come_one_by_one_and_many_at_once():
    fetch = from_memory(np.arange(6).reshape(3, 2), ["a", "b\0", "c"])

    row, word = fetch(tf.constant(1, "int64"))
    rows, words = fetch(tf.constant([2, 0], "int64"))

    assert row.numpy().tolist() == [2, 3]
    assert word.numpy() == b"b\0"
    assert rows.numpy().tolist() == [[4, 5], [0, 1]]
    assert words.numpy().tolist() == [b"c", b"a"]


def test_examples_features_labels_and_copies_of_weights_are_held_on_the_host(tmp_path):
    """A second CPU stands for the GPU, where TensorFlow puts what is made without a word."""
    path = os.pathsep.join([str(SCRIPT.parent), *sys.path])

    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    on_host, on_device = json.loads(done.stdout.splitlines()[-1])
    assert len(on_host) >= 20
    assert on_device == []
