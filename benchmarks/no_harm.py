"""Does fine-tuning do harm by itself? The figures of docs/decisions/0001-default-recipe.md.

    python benchmarks/no_harm.py [FOLDER] [--seeds 5] [--size 96]

Runs the default recipe with selection off, on the handwritten digits or on the class folders in
FOLDER, and prints what the last epoch of fine-tuning gained over the best of the head phase.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import kft


def main() -> None:
    """Prints one line for each seed, and the mean gain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=96)
    chosen = parser.parse_args()
    gains = []
    for seed in range(chosen.seeds):
        scores = run(data(chosen.folder, chosen.size), seed)
        head, tune = scores["phases"]
        gains.append(tune["last"]["accuracy"] - head["best"]["accuracy"])
        print(
            f"seed {seed}: head, best {head['best']['accuracy']:.4f}; "
            f"finetune, last {tune['last']['accuracy']:.4f}; gain {gains[-1]:+.4f}; "
            f"test {scores['test']['accuracy']:.4f}",
            flush=True,
        )
    print(f"mean gain {statistics.mean(gains):+.4f}")


def data(folder: str | None, size: int) -> dict[str, Any]:
    """Returns the data part of the config."""
    read = {"kind": "image", "size": [size, size]}
    if folder is None:
        return {"kind": "digits", "input": read}
    return {"kind": "folder", "path": folder, "input": read}


def run(data: dict[str, Any], seed: int) -> dict[str, Any]:
    """Returns the scores of the default recipe with the weights of the last epoch."""
    with tempfile.TemporaryDirectory() as directory:
        settings = {
            "output_dir": str(Path(directory, "run")),
            "seed": seed,
            "data": data,
            "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
            "select": "last",
            "exporters": [],
        }
        return dict(kft.run(kft.load_config(settings)).scores)


if __name__ == "__main__":
    main()
