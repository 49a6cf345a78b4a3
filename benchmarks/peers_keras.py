"""One run of the script of Keras's guide for `peers.py`, on the ImageNet weights that kft has.

    python benchmarks/peers_keras.py FOLDER --out FILE [--seed 0] [--size 128] [--resize crop]

FOLDER has ``train`` and ``test``, perhaps ``shift``, of class folders. As the guide of transfer
learning (https://keras.io/guides/transfer_learning) has it: 20 epochs of the head by Adam at 1e-3,
then 10 of everything at 1e-5, on all of ``train``, validated on nothing. The probabilities of the
other folders go to FILE, as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from plain_keras import model_of

HEAD_EPOCHS, EPOCHS = 20, 10
HEAD_RATE, RATE = 1e-3, 1e-5
BATCH = 32


def pictures(chosen: argparse.Namespace, part: str) -> tf.data.Dataset:
    """Returns the pictures of one folder in the order of their paths, unbatched."""
    found = keras.utils.image_dataset_from_directory(
        chosen.folder / part,
        label_mode="categorical",
        image_size=(chosen.size, chosen.size),
        crop_to_aspect_ratio=chosen.resize == "crop",
        batch_size=None,
        shuffle=False,
        verbose=False,
    )
    # Data sets that are batched here keep neither of these.
    batched = found.cache()
    batched.class_names, batched.file_paths = found.class_names, found.file_paths
    return batched


def train(chosen: argparse.Namespace, data: tf.data.Dataset) -> keras.Model:
    """Returns the model after both phases."""
    model, base = model_of(chosen.size, len(data.class_names))
    batches = data.shuffle(len(data.file_paths)).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    for trainable, rate, epochs in ((False, HEAD_RATE, HEAD_EPOCHS), (True, RATE, EPOCHS)):
        base.trainable = trainable
        model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy")
        model.fit(batches, epochs=epochs, verbose=0)
    return model


def answers(model: keras.Model, data: tf.data.Dataset, folder: Path) -> dict[str, list[float]]:
    """Returns the probabilities of each picture, in the order of the classes."""
    found = model.predict(data.batch(BATCH), verbose=0)
    names = [Path(path).relative_to(folder).as_posix() for path in data.file_paths]
    return dict(zip(names, found.tolist(), strict=True))


def main() -> None:
    """Trains, and writes the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--resize", default="crop")
    chosen = parser.parse_args()
    keras.utils.set_random_seed(chosen.seed)
    data = pictures(chosen, "train")
    model = train(chosen, data)
    found: dict[str, Any] = {
        "classes": data.class_names,
        "test": answers(model, pictures(chosen, "test"), chosen.folder / "test"),
    }
    started = time.perf_counter()
    if (chosen.folder / "shift").is_dir():
        found["shift"] = answers(model, pictures(chosen, "shift"), chosen.folder / "shift")
    found["shift_seconds"] = time.perf_counter() - started
    chosen.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
