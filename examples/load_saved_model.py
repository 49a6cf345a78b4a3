"""Serves what kft trained with TensorFlow alone: neither kft nor Keras is imported.

The SavedModel takes the bytes of image files of any format and size, decodes and resizes them as
in training, and answers with class names. Give it the SavedModel of a run, and files:

    python examples/folder_of_images.py my_shapes
    python examples/load_saved_model.py my_shapes/run/export/saved_model my_shapes/shapes/*/1.png
"""

import sys
from pathlib import Path

import tensorflow as tf


def main(directory: str, files: list[str]) -> None:
    """Prints the likeliest class of each file."""
    model = tf.saved_model.load(directory)
    serve = model.signatures["serving_default"]
    labels = Path(directory, "assets", "labels.txt").read_text(encoding="utf-8").splitlines()
    print(f"Knows {len(labels)} classes: {', '.join(labels)}")

    answer = serve(image_bytes=tf.constant([Path(file).read_bytes() for file in files]))
    for file, classes, scores in zip(files, answer["classes"], answer["scores"], strict=True):
        print(f"{file}: {classes[0].numpy().decode()} ({scores[0].numpy():.2f})")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
