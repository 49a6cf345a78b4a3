"""The engine against a plain Keras script with the same settings, as ratios of whole processes.

    python benchmarks/engine.py [--images 1000] [--size 160] [--repeats 3] [--only NAME …]

Makes class folders of JPEG files, then times whole processes in turn, plain and kft, and prints the
ratio of the medians of their wall times and their peak memory: training with validation after
every epoch, nothing exported. Then: the head phase against one bare forward pass, a step of the
head on cached features against one compiled loop over the same features, a second run with
another head on features kept on disk, and how the cost grows with epochs and with images. Figures
of a machine that does anything else meanwhile are worth nothing; ratios suffer less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

HERE = Path(__file__).parent
HEAD = {"kind": "adam", "learning_rate": 1e-3}
TUNE = {"kind": "sgd", "learning_rate": 3e-3, "momentum": 0.9}


@dataclass(frozen=True)
class Case:
    """One phase, that both train.

    Attributes:
        bound: What the ratio of kft to plain is meant to stay below.
    """

    name: str
    plain: str
    unfreeze: dict[str, Any]
    epochs: int
    bound: float


CASES = (
    Case("head", "none", {"kind": "none"}, 10, 0.25),
    Case("top", "top", {"kind": "top", "fraction": 0.25}, 5, 0.45),
    Case("all", "all", {"kind": "all"}, 5, 0.75),
)


@dataclass(frozen=True)
class Cost:
    """What a process took.

    Attributes:
        seconds: Wall time.
        megabytes: Most memory at one time.
    """

    seconds: float
    megabytes: float


def make_images(folder: Path, images: int, size: int) -> None:
    """Writes class folders of JPEG files, four fifths below ``train``, the rest ``validation``."""
    digits = load_digits()
    chance = np.random.default_rng(0)
    for split, count in (("train", images * 4 // 5), ("validation", images // 5)):
        for number in range(count):
            # Few scans, many files: each gets a colour and a background of its own.
            at = number % len(digits.images)
            ink, paper = chance.uniform(0, 255, (2, 1, 1, 3))
            share = digits.images[at][:, :, None] / 16
            pixels = Image.fromarray((share * ink + (1 - share) * paper).astype("uint8"))
            path = folder / split / str(digits.target[at]) / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels.resize((size, size), Image.Resampling.BICUBIC).save(path, quality=90)


def cost_of(command: Sequence[str], keep: Path | None = None) -> tuple[Cost, str]:
    """Runs a process to its end and returns what it took and what it printed.

    kft keeps features in `keep`.
    """
    environment = {**os.environ, **({"KFT_CACHE": str(keep)} if keep else {})}
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        child = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        told = said.read().decode()
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{told}")
    # Linux counts in KiB, macOS in bytes.
    return Cost(seconds, used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)), told


class Bench:
    """Runs kft and the plain script on one folder of images."""

    def __init__(self, work: Path, images: int, size: int) -> None:
        self.work = work
        self.size = size
        self.folder = work / f"images-{images}"
        if not self.folder.exists():
            make_images(self.folder, images, size)

    def plain(self, case: Case) -> Cost:
        """Returns what the plain script takes."""
        command = [sys.executable, str(HERE / "plain_keras.py"), str(self.folder)]
        options = ("--unfreeze", case.plain, "--epochs", str(case.epochs))
        return cost_of([*command, *options, "--size", str(self.size)])[0]

    def config(self, case: Case, epochs: int | None = None, **settings: Any) -> Path:
        """Writes the config of a new run; `settings` are of the config."""
        run = Path(tempfile.mkdtemp(dir=self.work))
        config = {
            "output_dir": str(run / "run"),
            "data": {
                "kind": "folder",
                "path": str(self.folder),
                "input": {"kind": "image", "size": [self.size, self.size]},
            },
            "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
            "phases": [
                {
                    "name": case.name,
                    "epochs": epochs or case.epochs,
                    "optimizer": HEAD if case.plain == "none" else TUNE,
                    "unfreeze": case.unfreeze,
                }
            ],
            "exporters": [],
            **settings,
        }
        path = run / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def kft(self, path: Path, keep: Path | None = None) -> Cost:
        """Returns what a run takes; features stay in `keep`, or are not found by others."""
        command = [sys.executable, "-m", "kft", "run", str(path)]
        return cost_of(command, keep or path.parent / "cache")[0]

    def inside(self, what: str, path: Path, keep: Path | None = None) -> dict[str, float]:
        """Returns what `engine_inside.py` measured."""
        command = [sys.executable, str(HERE / "engine_inside.py"), what, str(path)]
        said = cost_of(command, keep or path.parent / "cache")[1]
        return dict(json.loads(next(line for line in said.splitlines() if line.startswith("{"))))


def compare(bench: Bench, case: Case, repeats: int) -> None:
    """Prints the ratio of kft to the plain script for one phase, in alternating runs."""
    plain, ours = [], []
    for _ in range(repeats):
        plain.append(bench.plain(case))
        ours.append(bench.kft(bench.config(case)))
    told, ratio = [], []
    for costs in (plain, ours):
        seconds = statistics.median(cost.seconds for cost in costs)
        spread = ", ".join(f"{cost.seconds:.1f}" for cost in costs)
        memory = max(cost.megabytes for cost in costs)
        ratio.append(seconds)
        told.append(f"{seconds:6.1f} s ({spread}), {memory:.0f} MB")
    print(
        f"{case.name}, {case.epochs} epochs: plain {told[0]}; kft {told[1]}; "
        f"ratio {ratio[1] / ratio[0]:.2f} (aim: at most {case.bound})",
        flush=True,
    )


def bare_pass(bench: Bench, repeats: int) -> None:
    """Prints the ratio of ten epochs of the head to one bare forward pass over the same images."""
    found = []
    for _ in range(repeats):
        path = bench.config(CASES[0], cache="memory")
        found.append(bench.inside("forward", path))
    ratio = statistics.median(each["phase"] / each["bare"] for each in found)
    print(f"head, 10 epochs, against one bare forward pass: {ratio:.2f} (aim: at most 1.3)")


def compiled_loop(repeats: int) -> None:
    """Prints the ratio of a step of the head on cached features to one in a loop by hand."""
    for width, aim in ((1280, 1.15), (16, 2)):
        command = [sys.executable, str(HERE / "engine_loop.py"), str(width)]
        found = [json.loads(cost_of(command)[1].splitlines()[-1]) for _ in range(repeats)]
        ours, theirs = (
            statistics.median(each[name] for each in found) for name in ("kft", "by_hand")
        )
        print(
            f"a step of the head on {width} features: {ours * 1e6:.0f} us, in one compiled loop "
            f"{theirs * 1e6:.0f} us; ratio {ours / theirs:.2f} (aim: at most {aim})",
            flush=True,
        )


def second_run(bench: Bench) -> None:
    """Prints how soon a run with another head begins, its features kept by the run before."""
    keep = bench.work / "cache-kept"
    bench.kft(bench.config(CASES[0], cache="disk"), keep)
    path = bench.config(CASES[0], cache="disk", head={"kind": "classifier", "hidden": [64]})
    seconds = bench.inside("begin", path, keep)["seconds"]
    print(f"a second run, with another head, trains {seconds:.1f} s after TensorFlow's import")


def growth(work: Path, images: int, size: int) -> None:
    """Prints how the cost of the head phase grows with epochs and with images."""
    for count, epochs in ((images, 1), (images, 10), (images, 40), (2 * images, 10)):
        bench = Bench(work, count, size)
        cost = bench.kft(bench.config(CASES[0], epochs))
        print(
            f"head, {count} images, {epochs} epochs: {cost.seconds:.1f} s, {cost.megabytes:.0f} MB",
            flush=True,
        )


def main() -> None:
    """Prints every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    names = [case.name for case in CASES] + ["forward", "loop", "second", "growth"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), chosen.images, chosen.size)
        parts: dict[str, Callable[[], None]] = {
            **{case.name: partial(compare, bench, case, chosen.repeats) for case in CASES},
            "forward": lambda: bare_pass(bench, chosen.repeats),
            "loop": lambda: compiled_loop(chosen.repeats),
            "second": lambda: second_run(bench),
            "growth": lambda: growth(Path(directory), chosen.images, chosen.size),
        }
        for name in chosen.only:
            parts[name]()


if __name__ == "__main__":
    main()
