"""Head first, then everything? The claim of Kumar et al. 2022 (arXiv 2202.10054), measured here.

    python benchmarks/lp_ft.py TRAIN SHIFTED [--seeds 5] [--size 96]

TRAIN and SHIFTED hold the same class folders of images from two sources. Trains on one part of
TRAIN, tests on the held-out part (in distribution) and on all of SHIFTED (out of distribution):

* ``head only``: the frozen backbone with a new head;
* ``direct``: everything from the first step on, the head random at first. For as many epochs as the
  default recipe fine-tunes, at each of two rates; the one that is best on validation counts;
* ``two phases``: kft's default recipe, without its refit, as all others;
* ``interpolated``: the same with ``select: "interpolate"`` (WiSE-FT, Wortsman et al. 2022).

Prints the accuracy of each seed, then means, spreads and paired differences, as they come out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kft

RATES = (3e-4, 1e-3)
METHODS = ("head only", "direct", "two phases", "interpolated")


@dataclass(frozen=True)
class Accuracy:
    """Of one trained model.

    Attributes:
        within: On the test part of the folder it was trained on.
        shifted: On the other folder.
    """

    validation: float
    within: float
    shifted: float


@dataclass(frozen=True)
class Folders:
    """Where the images are, and how large they are read."""

    train: Path
    shifted: Path
    size: int


def recipe(folders: Folders) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns kft's default phases for the pictures: the head, then everything."""
    head, tune = kft.plan(kft.load_config(config_of(folders))).settings
    return dict(head), dict(tune)


def config_of(folders: Folders) -> dict[str, Any]:
    """Returns the settings that all runs share."""
    return {
        "data": {
            "kind": "folder",
            "path": str(folders.train),
            "input": {"kind": "image", "size": [folders.size, folders.size]},
        },
        "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
        "refit": False,
        "exporters": [],
    }


def measure(folders: Folders, seed: int, **settings: Any) -> Accuracy:
    """Trains with `settings` of the config and returns what comes out."""
    with tempfile.TemporaryDirectory() as directory:
        run = Path(directory, "run")
        config = {**config_of(folders), "output_dir": str(run), "seed": seed, **settings}
        scores = kft.run(kft.load_config(config)).scores
        shifted = kft.evaluate_run(run, folders.shifted)["data"]
    return Accuracy(
        scores["validation"]["accuracy"], scores["test"]["accuracy"], shifted["accuracy"]
    )


def direct(folders: Folders, seed: int) -> Accuracy:
    """Returns the best of direct fine-tuning by validation, over a few rates."""
    _, tune = recipe(folders)
    tried = [
        measure(
            folders,
            seed,
            phases=[{**tune, "optimizer": {**tune["optimizer"], "learning_rate": rate}}],
        )
        for rate in RATES
    ]
    return max(tried, key=lambda accuracy: accuracy.validation)


def all_methods(folders: Folders, seed: int) -> dict[str, Accuracy]:
    """Returns what each method comes to with one seed."""
    return {
        "head only": measure(folders, seed, phases=[recipe(folders)[0]]),
        "direct": direct(folders, seed),
        "two phases": measure(folders, seed),
        "interpolated": measure(folders, seed, select="interpolate"),
    }


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("shifted", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=96)
    chosen = parser.parse_args()
    folders = Folders(chosen.train, chosen.shifted, chosen.size)
    found = []
    print("seed  " + "  ".join(f"{method:>15}" for method in METHODS), flush=True)
    for seed in range(chosen.seeds):
        found.append(all_methods(folders, seed))
        cells = [f"{found[-1][name].within:.4f} {found[-1][name].shifted:.4f}" for name in METHODS]
        print(f"{seed:4}  " + "  ".join(f"{cell:>15}" for cell in cells), flush=True)
    print_table(found)


def print_table(found: list[Mapping[str, Accuracy]]) -> None:
    """Prints means and spreads over the seeds, and the difference from two phases, paired."""
    print("\n| method | in distribution | out of it | two phases gain in | two phases gain out |")
    print("| --- | --- | --- | --- | --- |")
    for name in METHODS:
        cells = []
        for part in ("within", "shifted"):
            cells.append(told([getattr(each[name], part) for each in found]))
        for part in ("within", "shifted"):
            gains = [
                getattr(each["two phases"], part) - getattr(each[name], part) for each in found
            ]
            cells.append("" if name == "two phases" else told(gains, "+"))
        print(f"| {name} | " + " | ".join(cells) + " |")


def told(values: list[float], sign: str = "") -> str:
    """Returns mean and standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{sign}.4f} ± {spread:.4f}"


if __name__ == "__main__":
    main()
