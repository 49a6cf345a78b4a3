"""Did a restructuring change what kft computes? Small runs, recorded and compared to the last bit.

    python benchmarks/same_bits.py record before.json    # in the tree as it was
    python benchmarks/same_bits.py record after.json     # in the tree as it is
    python benchmarks/same_bits.py compare before.json after.json

Each case is a process of ``python -m kft`` of the tree that this file is in, on data made on the
spot. On one machine, with the same packages, two recordings of one tree are equal.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
# What differs between two runs, or is worded for people and depends on the room on the disk.
LEFT_OUT = ("seconds", "input_wait", "examples_per_second", "features")
# Workers add up in whatever order their messages come: docs/distribute/README.md.
WORKERS_TOLERANCE = 1e-5
RNG_SEED = 3
DIGITS = 1797

Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A run to record.

    Attributes:
        prepare: Makes its data in an empty folder and returns the arguments of ``kft``.
        tolerance: How far numbers may be off; 0 wants every bit.
    """

    prepare: Callable[[Path], list[str]]
    tolerance: float = 0.0


def main() -> None:
    """Records or compares; exits with 1 where recordings differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("output", type=Path)
    recording.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "record":
        cases = {name: record(CASES[name]) for name in chosen.case}
        chosen.output.write_text(json.dumps(cases, indent=1) + "\n")
    else:
        before, after = (json.loads(file.read_text()) for file in (chosen.before, chosen.after))
        sys.exit(1 if [name for name in CASES if not compare(name, before, after)] else 0)


def record(case: Case) -> Json:
    """Runs `case` in a folder of its own and returns what it left."""
    with tempfile.TemporaryDirectory(prefix="same-bits-") as folder:
        arguments = [
            *case.prepare(Path(folder)),
            "--set",
            "output_dir=run",
            "--set",
            "exporters=[]",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "kft", *arguments],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        print(done.stdout, end="", flush=True)
        done.check_returncode()
        return left_in(Path(folder, "run"))


def environment(folder: str) -> dict[str, str]:
    """Returns the environment of a run: this tree, an empty cache, no GPU and no cluster."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    kept.pop("TF_CONFIG", None)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # A GPU adds up in another order each time.
    own = {
        "PYTHONPATH": path,
        "KFT_CACHE": f"{folder}/cache",
        "KFT_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return {**kept, **own}


def left_in(directory: Path) -> Json:
    """Returns what the run in `directory` left that must not change."""
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    with (directory / "predictions.csv").open(newline="") as file:
        rows = [{key: cell(key, text) for key, text in row.items()} for row in csv.DictReader(file)]
    return {
        "metrics": [untimed(json.loads(line)) for line in lines],
        "weights": weights_in(directory / "checkpoints" / "best.weights.h5"),
        "scores": untimed(json.loads((directory / "scores.json").read_text())),
        "predictions": rows,
    }


def cell(column: str, text: str) -> str | float:
    """Returns a cell of ``predictions.csv``; of a path only the name of the file."""
    if column == "path":
        return Path(text).name
    try:
        return float(text)
    except ValueError:
        return text


def untimed(value: Any) -> Any:
    """Returns JSON without what two equal runs need not share."""
    if isinstance(value, dict):
        return {key: untimed(inner) for key, inner in value.items() if key not in LEFT_OUT}
    return [untimed(inner) for inner in value] if isinstance(value, list) else value


def weights_in(path: Path) -> list[Json]:
    """Returns what tells the weights in `path` from others, whatever they are called there.

    Where digests differ, the products with a fixed unit vector say about by how much.
    """
    import h5py

    arrays: list[np.ndarray] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: arrays.append(item[()]) if hasattr(item, "dtype") else None)
    found = []
    for array in arrays:
        direction = np.random.default_rng(RNG_SEED).normal(size=array.shape)
        product = np.sum(array * direction) / max(float(np.linalg.norm(direction)), 1e-12)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        found.append({"shape": list(array.shape), "product": float(product), "digest": digest})
    return sorted(found, key=lambda weight: (weight["shape"], weight["product"]))


def compare(name: str, before: Json, after: Json) -> bool:
    """Prints whether two recordings of a case are equal, and what differs first."""
    if name not in before or name not in after:
        print(f"{name}: not recorded in both")
        return name not in before and name not in after
    tolerance = CASES[name].tolerance
    first = next(differences(before[name], after[name], tolerance), None)
    within = f" within {tolerance:g}" if tolerance else ""
    print(f"{name}: equal{within}" if first is None else f"{name}: differs at {first}")
    return first is None


def differences(before: Json, after: Json, tolerance: float) -> Iterator[str]:
    """Yields where two recordings differ, and by how much."""
    for one, other in zip_longest(leaves(before), leaves(after), fillvalue=("the end", None)):
        (at, value), (at_other, value_other) = one, other
        if at != at_other:
            yield f"{at}, where the other has {at_other}"
        elif isinstance(value, float | int) and isinstance(value_other, float | int):
            if repr(value) != repr(value_other) and not abs(value - value_other) <= tolerance:
                yield f"{at}: {value!r} and {value_other!r}, by {abs(value - value_other):.1e}"
        elif value != value_other and not (tolerance and at.endswith("digest")):
            yield f"{at}: {value!r} and {value_other!r}"


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yields what JSON holds, and where."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{at}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{at}[{number}]")
    else:
        yield at, value


def config(folder: Path, settings: Json) -> str:
    """Writes a config and returns its name."""
    (folder / "config.json").write_text(json.dumps(settings))
    return "config.json"


def phase(name: str, epochs: int, optimizer: Json, unfreeze: Json, **others: Any) -> Json:
    """Returns a phase of a config."""
    return {
        "name": name,
        "epochs": epochs,
        "optimizer": optimizer,
        "unfreeze": unfreeze,
        **others,
    }


HEAD = phase("head", 2, {"kind": "adamw", "learning_rate": 0.01}, {"kind": "none"})
MOBILE_NET = {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"}
SGD = {"kind": "sgd", "learning_rate": 0.01, "momentum": 0.9}


def few_digits(folder: Path, count: int) -> str:
    """Writes the list that leaves out all but `count` of the digits, and returns its name."""
    (folder / "exclude.txt").write_text(
        "".join(f"digits/{number:04}.png\n" for number in range(count, DIGITS))
    )
    return "exclude.txt"


def quickstart(folder: Path) -> list[str]:
    """Prepares the shipped config, with fewer epochs on fewer digits."""
    few = few_digits(folder, 300)
    phases = [{**HEAD, "epochs": 3}, phase("tune", 2, SGD, {"kind": "all"})]
    changes = (f"data.exclude={few}", f"phases={json.dumps(phases)}")
    return ["run", "quickstart", *(word for change in changes for word in ("--set", change))]


def partly_unfrozen(folder: Path) -> list[str]:
    """Prepares phases that unfreeze more and more, with most of what a step can have."""
    augment = [{"kind": "flip"}, {"kind": "rotate"}, {"kind": "brightness"}]
    data = {
        "kind": "digits",
        "exclude": few_digits(folder, 240),
        "input": {"kind": "image", "size": [48, 48], "augment": augment},
        "batch_size": 16,
    }
    rates = {"layer_decay": 0.9, "rate_factors": {"head": 0.5}, "l2_sp": 0.1}
    top = phase("top", 2, SGD, {"kind": "top", "stages": 4}, **rates, accumulate_steps=2, ema=0.99)
    adamw = {"kind": "adamw", "learning_rate": 0.0001}
    gradual = phase("gradual", 2, adamw, {"kind": "gradual", "groups": 2}, layer_decay=0.95)
    more = {"schedule": {"kind": "cosine", "warmup_epochs": 1}, "mixup": 0.2, "mix_off_epochs": 1}
    further = {**more, "carry_optimizer": True, "swa_epochs": 1, "clip_norm": None}
    last = phase("last", 2, adamw, {"kind": "top", "fraction": 0.3}, **further)
    backbone = {**MOBILE_NET, "batch_norm": "inference"}
    phases = [HEAD, top, gradual, last]
    settings = {"data": data, "backbone": backbone, "phases": phases, "select": "last"}
    return ["run", config(folder, settings)]


def table(folder: Path) -> list[str]:
    """Prepares a table of pictures with two numbers to predict."""
    from PIL import Image

    random = np.random.default_rng(RNG_SEED)
    lines = ["path,brightness,red,weight"]
    (folder / "pictures").mkdir()
    for number in range(120):
        pixels = random.integers(0, random.integers(40, 256), (32, 32, 3), "uint8")
        Image.fromarray(pixels).save(folder / "pictures" / f"{number:03}.png")
        values = (pixels.mean(), pixels[..., 0].std(), 1 + number % 3)
        lines.append(f"pictures/{number:03}.png," + ",".join(f"{value:.4f}" for value in values))
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    data = {
        "kind": "table",
        "path": "table.csv",
        "value_columns": ["brightness", "red"],
        "weight_column": "weight",
        "input": {"kind": "image", "size": [32, 32]},
    }
    head = {"kind": "regressor", "hidden": [8], "l2": 1e-3, "error": "huber"}
    phases = [HEAD, phase("tune", 2, {"kind": "adam", "learning_rate": 2e-5}, {"kind": "all"})]
    settings = {
        "data": data,
        "backbone": MOBILE_NET,
        "head": head,
        "phases": phases,
        "select": "last",
    }
    return ["run", config(folder, settings)]


def vectors(folder: Path) -> Json:
    """Writes vectors of three classes and returns the data part of a config."""
    random = np.random.default_rng(RNG_SEED)
    labels = np.arange(150) % 3
    rows = random.normal(labels[:, None], 0.9, (150, 8)).astype("float32")
    np.savez(folder / "vectors.npz", x=rows, y=labels)
    return {"kind": "arrays", "path": "vectors.npz", "input": {"kind": "tensors", "shape": [8]}}


def tf_hub(folder: Path) -> list[str]:
    """Prepares a small SavedModel in the format of TF-Hub, to be fine-tuned."""
    import tensorflow as tf

    random = np.random.default_rng(RNG_SEED)
    shapes = {"one/kernel": (8, 6), "two/kernel": (6, 6)}
    kernels = [
        tf.Variable(random.normal(size=shape), dtype="float32", name=name)
        for name, shape in shapes.items()
    ]

    @tf.function
    def features(x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.nn.relu(tf.matmul(tf.nn.relu(tf.matmul(x, kernels[0])), kernels[1]))

    for training in (False, True):
        features.get_concrete_function(tf.TensorSpec((None, 8), tf.float32), training=training)
    module = tf.train.Checkpoint(variables=kernels, trainable_variables=kernels)
    module.__call__ = features
    tf.saved_model.save(module, str(folder / "module"))
    return ["run", config(folder, small(vectors(folder), {"kind": "tf_hub", "handle": "module"}))]


def two_workers(folder: Path) -> list[str]:
    """Prepares a small Keras model for two workers, with batch normalisation that trains."""
    import keras

    keras.utils.set_random_seed(RNG_SEED)
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(6, name="bottom")(inputs)
    hidden = keras.layers.BatchNormalization(name="norm")(hidden)
    outputs = keras.layers.Dense(6, activation="relu", name="top")(hidden)
    keras.Model(inputs, outputs).save(folder / "model.keras")
    backbone = {"kind": "keras_file", "path": "model.keras", "batch_norm": "train"}
    return ["launch", config(folder, small(vectors(folder), backbone)), "--workers", "2"]


def small(data: Json, backbone: Json) -> Json:
    """Returns a config that trains the head of a small backbone and then all of it."""
    tune = phase("tune", 3, SGD, {"kind": "all"}, layer_decay=0.8, clip_norm=0.5)
    head = {"kind": "classifier", "dropout": 0.0}
    return {
        "data": data,
        "backbone": backbone,
        "head": head,
        "phases": [HEAD, tune],
        "select": "last",
    }


CASES = {
    "quickstart": Case(quickstart),
    "partly_unfrozen": Case(partly_unfrozen),
    "table": Case(table),
    "tf_hub": Case(tf_hub),
    "two_workers": Case(two_workers, WORKERS_TOLERANCE),
}

if __name__ == "__main__":
    main()
