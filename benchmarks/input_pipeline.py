"""How fast pictures get into training, as a share of the bare ops of TensorFlow.

python benchmarks/input_pipeline.py

Both pipelines read JPEG files from disk and give batches, on all cores, in turns; the bare one is
`tf.io.decode_jpeg` and `tf.image.resize` (full size, not antialiased, EXIF ignored). Besides the
time on the clock, the CPU time counts, which a busy machine disturbs less; of each the best of
some rounds. Milliseconds of each picture, and the bare ones over those of kft.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZES = {"640x480 to 160": ((640, 480), 160, 200), "12 MP to 224": ((4000, 3000), 224, 24)}
QUALITIES = (75, 90)
ROUNDS = 5


def photo(sides: tuple[int, int], quality: int) -> bytes:
    """Returns a JPEG of these width and height, made of a photo that comes with scikit-learn."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    picture = Image.fromarray(load_sample_image("china.jpg"))
    file = io.BytesIO()
    picture.resize(sides, Image.Resampling.LANCZOS).save(file, "JPEG", quality=quality)
    return file.getvalue()


def pipelines(side: int) -> dict[str, Callable]:
    """Returns what makes pixels of the bytes of a file, by name."""
    import tensorflow as tf

    from kft.image.input import ImageInput
    from kft.reading import decoder_of

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
            batches = iter(dataset)
            next(batches)
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in batches:
                pass
            spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            each = {key: 1000 * value / (len(files) - 8) for key, value in spent.items()}
            before = best.get(name, each)
            best[name] = {key: min(value, before[key]) for key, value in each.items()}
    return best


def main() -> None:
    """Prints one line for each size and quality."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (sides, side, count) in SIZES.items():
            for quality in QUALITIES:
                path = Path(folder) / "photo.jpg"
                path.write_bytes(photo(sides, quality))
                best = measure([str(path)] * count, side)
                ratios = {key: best["bare"][key] / best["kft"][key] for key in ("wall", "cpu")}
                print(json.dumps({"what": name, "quality": quality, "ratio": ratios, **best}))


if __name__ == "__main__":
    main()
