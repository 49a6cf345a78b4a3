"""What `engine.py` measures from within a process; it starts this in a fresh one.

python benchmarks/engine_inside.py forward CONFIG   head phase against one bare forward pass
python benchmarks/engine_inside.py begin CONFIG     seconds from TensorFlow's import to training
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import tensorflow as tf

IMPORTED = time.perf_counter()

import keras  # noqa: E402

import kft  # noqa: E402
from kft.cache.decode import read  # noqa: E402
from kft.cache.feature_cache import FeatureCache  # noqa: E402
from kft.engine.best import Best  # noqa: E402
from kft.engine.context import TrainingContext  # noqa: E402
from kft.engine.train import train  # noqa: E402
from kft.task import assemble  # noqa: E402


class Began(keras.callbacks.Callback):
    """Says when training began."""

    def on_train_begin(self, logs: object = None) -> None:
        """Prints the seconds since TensorFlow was imported."""
        print(json.dumps({"seconds": time.perf_counter() - IMPORTED}), flush=True)


def forward(path: str) -> None:
    """Prints how long one forward pass over training and validation takes, and a head phase."""
    config = kft.load_config(path)
    found = config.data.load(config.seed)
    task = assemble(config.backbone.load(found.input.spec), config.head, found.target, found.input)
    splits = read(found, "stop").decoded
    held = [
        tf.stack([split.fetch(tf.constant(number)) for number in range(split.size)])
        for split in (splits.train, splits.validation)
    ]

    @tf.function(jit_compile=False)
    def infer(inputs: tf.Tensor) -> tf.Tensor:
        return task.backbone.model(inputs, training=False)

    started = time.perf_counter()
    for inputs in held:
        for batch in tf.data.Dataset.from_tensor_slices(inputs).batch(config.data.batch_size):
            infer(batch)
    bare = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as directory:
        context = TrainingContext(
            task,
            splits,
            Path(directory),
            Best(task.model, "accuracy"),
            FeatureCache(config.cache_policy, config.seed, task.backbone.name),
            batch_size=config.data.batch_size,
        )
        started = time.perf_counter()
        train(context, config.phases)
        phase = time.perf_counter() - started
    print(json.dumps({"bare": bare, "phase": phase}))


def begin(path: str) -> None:
    """Runs a config and prints when training began."""
    kft.run(kft.load_config(path, ['callbacks=[{"kind": "engine_inside:Began"}]']))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    {"forward": forward, "begin": begin}[sys.argv[1]](sys.argv[2])
