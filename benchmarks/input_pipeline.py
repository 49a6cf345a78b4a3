"""How fast pictures get into training, as a share of the bare ops of TensorFlow.

python benchmarks/input_pipeline.py [--files 1000 100000]

Both pipelines read JPEG files from disk and give batches, on all cores, in turns; the bare one is
`tf.io.decode_jpeg` and `tf.image.resize` (full size, not antialiased, EXIF ignored). Besides the
time on the clock, the CPU time counts, which a busy machine disturbs less; of each the best of
some rounds. Milliseconds of each picture, and the bare ones over those of kft. How much there is to
win depends on the bits that a pixel has, so large pictures are of two kinds. Before that, the peak
memory of a process that decodes so many files to the copy on disk, and goes through it.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

QUALITIES = (75, 90)
ROUNDS = 3


def scaled(sides: tuple[int, int]) -> Image.Image:
    """Returns a photo that comes with scikit-learn, 640x427, scaled to these width and height."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    picture = Image.fromarray(load_sample_image("china.jpg"))
    return picture.resize(sides, Image.Resampling.LANCZOS)


def mosaic(sides: tuple[int, int]) -> Image.Image:
    """Returns both photos that come with scikit-learn, repeated and mirrored to these sides.

    So a pixel has as much detail as one of a photo; an enlarged one has little for its size.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    tile = np.concatenate(load_sample_images().images, axis=1)
    missing = [(0, sides[1] - tile.shape[0]), (0, sides[0] - tile.shape[1]), (0, 0)]
    return Image.fromarray(np.pad(tile, missing, "symmetric"))


def jpeg(picture: Image.Image, quality: int) -> bytes:
    """Returns the file of a picture."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


# How a picture is made, its width and height, the side of the target, and how many.
PICTURES = {
    "640x480 to 160": (scaled, (640, 480), 160, 400),
    "12 MP to 224": (mosaic, (4000, 3000), 224, 64),
    "12 MP, enlarged, to 224": (scaled, (4000, 3000), 224, 64),
}


def pipelines(side: int) -> dict[str, Callable]:
    """Returns what makes pixels of the bytes of a file, by name."""
    import tensorflow as tf

    from kft.cache.decode import decoder_of
    from kft.image.input import ImageInput

    def bare(raw: tf.Tensor) -> tf.Tensor:
        return tf.image.resize(tf.io.decode_jpeg(raw, channels=3), (side, side))

    return {"bare": bare, "kft": decoder_of(ImageInput(size=(side, side)))}


def measure(files: list[str], side: int) -> dict[str, dict[str, float]]:
    """Returns the milliseconds of each picture in each pipeline, the best of some rounds."""
    import tensorflow as tf

    best: dict[str, dict[str, float]] = {}
    datasets = {
        name: tf.data.Dataset.from_tensor_slices(files)
        .map(lambda path, decode=decode: decode(tf.io.read_file(path)), tf.data.AUTOTUNE)
        .batch(8)
        for name, decode in pipelines(side).items()
    }
    for _ in range(ROUNDS):
        for name, dataset in datasets.items():
            batches = iter(dataset)  # which makes the graph ready
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in batches:
                pass
            spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            each = {key: 1000 * value / len(files) for key, value in spent.items()}
            before = best.get(name, each)
            best[name] = {key: min(value, before[key]) for key, value in each.items()}
    return best


def read_all(folder: str, count: str) -> None:
    """Reads `count` files into a copy on disk, goes through it, and prints the peak memory."""
    import tensorflow as tf

    from kft.cache.decode import decode_all
    from kft.image.input import ImageInput
    from kft.sources.folders.folder import Folder

    source = Folder(path=folder, input=ImageInput(size=(64, 64)))
    found = source.load(0)
    whole = found.train.take([number % found.train.size for number in range(int(count))])
    decoded = decode_all(whole, source.input, "Reading", cache="disk").decoded
    for _ in decoded.fetched(tf.data.Dataset.range(decoded.size).batch(64), 64):
        pass
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}))


def peak_memory(folder: Path, count: int) -> float:
    """Returns the peak memory in MB of a process that reads `count` files."""
    environment = {**os.environ, "KFT_CACHE": str(folder / "cache")}
    command = [sys.executable, __file__, "read", str(folder / "pictures"), str(count)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["peak"])


def compare_memory(folder: Path, counts: list[int]) -> None:
    """Prints the peak memory by the number of files."""
    raw = jpeg(scaled((80, 80)), 90)
    for number in range(40):
        path = folder / "pictures" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    peaks = {count: peak_memory(folder, count) for count in counts}
    print(json.dumps({"what": "peak memory in MB, by files", "peaks": peaks}))


def main() -> None:
    """Prints one line on memory, and one for each size and quality."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="*", default=[1000, 10000])
    counts = parser.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        # First, since Linux counts the memory of who starts a process as its own.
        compare_memory(Path(folder), counts)
        for name, (picture, sides, side, count) in PICTURES.items():
            for quality in QUALITIES:
                raw = jpeg(picture(sides), quality)
                path = Path(folder) / "photo.jpg"
                path.write_bytes(raw)
                best = measure([str(path)] * count, side)
                ratios = {key: best["bare"][key] / best["kft"][key] for key in ("wall", "cpu")}
                told = {
                    "what": name,
                    "quality": quality,
                    "bits per pixel": 8 * len(raw) / math.prod(sides),
                }
                print(json.dumps({**told, "ratio": ratios, **best}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        read_all(*sys.argv[2:])
    else:
        main()
