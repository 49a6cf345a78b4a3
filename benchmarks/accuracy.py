"""kft against a plain Keras script: the same settings and splits, several seeds, paired.

    python benchmarks/accuracy.py FOLDER [--seeds 10] [--size 96]

FOLDER holds class folders of images. The plain script follows the Keras transfer-learning guide:
``base_model(inputs, training=False)``, train the head, unfreeze all, compile again, train on. Both
use the bundled MobileNetV2 and the phases of kft's default recipe. Like is compared with like: the
weights of the best epoch over both phases by validation accuracy, of equals the one with the lower
loss, and those of the last.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

import kft

WEIGHTS = Path(kft.__file__).parent / "weights/mobilenet_v2_1.0_224_imagenet_notop.weights.h5"


@dataclass(frozen=True)
class Accuracy:
    """On the test split, of the weights of the best epoch and of the last."""

    best: float
    last: float


def kft_accuracy(folder: Path, size: int, seed: int, directory: Path) -> Accuracy:
    """Returns the accuracy of kft, which leaves its splits in `directory` for the plain script."""
    best, last = (
        run_kft(folder, size, seed, directory / select, select) for select in ("best", "last")
    )
    return Accuracy(best, last)


def run_kft(folder: Path, size: int, seed: int, directory: Path, select: str) -> float:
    """Returns the test accuracy of one run of kft."""
    settings = {
        "output_dir": str(directory),
        "seed": seed,
        "data": {
            "kind": "folder",
            "path": str(folder),
            "input": {"kind": "image", "size": [size, size]},
        },
        "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
        "select": select,
        "exporters": [],
    }
    return float(kft.run(kft.load_config(settings)).scores["test"]["accuracy"])


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the best epoch over several fits."""

    def __init__(self) -> None:
        super().__init__()
        self.score = (0.0, -math.inf)
        self.weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Copies the weights if this epoch is the best so far."""
        score = (logs["val_accuracy"], -logs["val_loss"])
        if score > self.score:
            self.score, self.weights = score, self.model.get_weights()


def plain_accuracy(folder: Path, size: int, seed: int, split: Path) -> Accuracy:
    """Returns the accuracy of a plain Keras script on the same splits."""
    keras.utils.set_random_seed(seed)
    data, classes = read_split(folder, size, split)
    model, base = plain_model(size, classes)
    (images, labels), held_out = data["train"], data["validation"]
    steps, best = -(-len(labels) // 32), KeepBest()
    for phase in kft.RunConfig.model_fields["phases"].get_default(call_default_factory=True):
        base.trainable = phase.unfreeze.kind == "all"
        model.compile(
            optimizer=plain_optimizer(phase, steps),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        model.fit(images, labels, 32, phase.epochs, 0, callbacks=[best], validation_data=held_out)
    last = model.evaluate(*data["test"], verbose=0)[1]
    model.set_weights(best.weights)
    return Accuracy(float(model.evaluate(*data["test"], verbose=0)[1]), float(last))


def read_split(
    folder: Path, size: int, split: Path
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], int]:
    """Returns images and labels by split, and the number of classes."""
    with split.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    data = {}
    for part in ("train", "validation", "test"):
        chosen = [row for row in rows if row["split"] == part]
        images = [on_white(folder / row["path"], size) for row in chosen]
        labels = np.array([names.index(row["label"]) for row in chosen])
        data[part] = np.stack(images), labels
    return data, len(names)


def on_white(path: Path, size: int) -> np.ndarray:
    """Returns a picture as float32 ``(size, size, 3)``, what is transparent white, as in kft."""
    picture = Image.open(path).convert("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    opaque = Image.alpha_composite(paper, picture).convert("RGB")
    return np.asarray(opaque.resize((size, size), Image.Resampling.BILINEAR), "float32")


def plain_model(size: int, classes: int) -> tuple[keras.Model, keras.Model]:
    """Returns the model of the Keras guide, and the pretrained part of it."""
    base = keras.applications.MobileNetV2(
        include_top=False, weights=str(WEIGHTS), input_shape=(size, size, 3)
    )
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x)), base


def plain_optimizer(phase: kft.Phase, steps: int) -> keras.optimizers.Optimizer:
    """Returns the optimizer of `phase` from Keras's own parts."""
    warmup = int(phase.schedule.warmup_epochs * steps)
    peak = phase.optimizer.learning_rate
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / warmup if warmup else peak,
        decay_steps=phase.epochs * steps - warmup,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )
    if phase.optimizer.kind == "adam":
        return keras.optimizers.Adam(rate, global_clipnorm=phase.clip_norm)
    return keras.optimizers.SGD(rate, momentum=0.9, global_clipnorm=phase.clip_norm)


def main() -> None:
    """Prints the accuracy of each seed and the paired differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--size", type=int, default=96)
    chosen = parser.parse_args()
    found: list[tuple[Accuracy, Accuracy]] = []
    print("        best epoch                   last epoch")
    print("seed     kft   plain  difference     kft   plain  difference", flush=True)
    for seed in range(chosen.seeds):
        with tempfile.TemporaryDirectory() as directory:
            ours = kft_accuracy(chosen.folder, chosen.size, seed, Path(directory))
            split = Path(directory, "best", "split.csv")
            found.append((ours, plain_accuracy(chosen.folder, chosen.size, seed, split)))
        print(f"{seed:4}  {row(found[-1:])}", flush=True)
    print(f"mean  {row(found)}")


def row(found: Sequence[tuple[Accuracy, Accuracy]]) -> str:
    """Returns the means over `found`, with the spread of the paired differences."""
    cells = []
    for select in ("best", "last"):
        pairs = [(getattr(ours, select), getattr(plain, select)) for ours, plain in found]
        differences = [ours - plain for ours, plain in pairs]
        spread = f" ± {statistics.stdev(differences):.4f}" if len(found) > 1 else ""
        ours, plain = (statistics.mean(column) for column in zip(*pairs, strict=True))
        cells.append(f"{ours:.4f}  {plain:.4f}     {statistics.mean(differences):+.4f}{spread}")
    return "  ".join(cells)


if __name__ == "__main__":
    main()
