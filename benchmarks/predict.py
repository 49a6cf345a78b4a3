"""`kft predict` against a loop written by hand over the same SavedModel, as whole processes.

python benchmarks/predict.py RUN [--files 1 1000 10000] [--repeats 3]

RUN is a run on pictures. The loop is what a person would write who has read the guide of tf.data:
`tf.io.read_file` in parallel, batches of 32, prefetched, one call of the default signature for
each, and a line of JSON for each file. Both are started in turns; of each, the least seconds from
start to end and of the CPU count, and the peak of memory. A ratio above 1 says that kft is faster.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BY_HAND = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
model, folder = sys.argv[1:]
serve = tf.saved_model.load(model).signatures["serving_default"]
files = sorted(tf.io.gfile.glob(folder + "/*/*.jpg"))
data = tf.data.Dataset.from_tensor_slices(files)
data = data.map(lambda file: (file, tf.io.read_file(file)), tf.data.AUTOTUNE).batch(32)
for names, raw in data.prefetch(tf.data.AUTOTUNE):
    answer = serve(raw)
    for name, classes, scores in zip(
        names.numpy(), answer["classes"].numpy(), answer["scores"].numpy()
    ):
        named = dict(zip((each.decode() for each in classes), scores.tolist()))
        best = classes[0].decode()
        print(json.dumps({"file": name.decode(), "prediction": best, "scores": named}))
"""


def write_pictures(folder: Path, count: int) -> None:
    """Writes JPEG files of 320x240, cut out of the photos that come with scikit-learn."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    chance = np.random.default_rng(0)
    photos = load_sample_images().images
    for number in range(count):
        label = number % 2
        side = int(chance.integers(150, 400))
        top, left = (int(chance.integers(0, extent - side)) for extent in photos[label].shape[:2])
        cut = Image.fromarray(photos[label][top : top + side, left : left + side])
        content = io.BytesIO()
        cut.resize((320, 240)).save(content, "JPEG", quality=85)
        file = folder / ("china", "flower")[label] / f"{number:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.getvalue())


def measured(command: list[str], lines: int) -> tuple[float, float, float]:
    """Seconds on the clock and of the CPU, and the peak of memory in MB, of a command.

    It has to print so many `lines`.
    """
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        output.seek(0)
        printed = sum(1 for _ in output)
    if status or printed != lines:
        raise SystemExit(f"{command[:4]} ended with {status} after {printed} of {lines} lines")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    """Prints a line for each number of files."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("run")
    words.add_argument("--files", type=int, nargs="+", default=[1, 1000, 10_000])
    words.add_argument("--repeats", type=int, default=3)
    words.add_argument("--no-hand", action="store_true", help="measure kft alone")
    given = words.parse_args()
    print("  files | by hand s (CPU s, MB) | kft s (CPU s, MB) | by hand / kft")
    for count in given.files:
        with tempfile.TemporaryDirectory() as folder:
            write_pictures(Path(folder), count)
            by_hand = [
                *(sys.executable, "-c", BY_HAND),
                *(f"{given.run}/export/saved_model", folder),
            ]
            kft = [sys.executable, "-m", "kft", "predict", given.run, folder, "--json"]
            sides = {"kft": kft} if given.no_hand else {"by hand": by_hand, "kft": kft}
            rounds = [
                {name: measured(command, count) for name, command in sides.items()}
                for _ in range(given.repeats)
            ]
        best = {
            name: [min(values) for values in zip(*(each[name] for each in rounds), strict=True)]
            for name in sides
        }
        shown = " | ".join("{:.1f} ({:.1f}, {:.0f})".format(*each) for each in best.values())
        ratio = "" if given.no_hand else f" | {best['by hand'][0] / best['kft'][0]:.2f}"
        print(f"{count:7} | {shown}{ratio}", flush=True)


if __name__ == "__main__":
    main()
