"""What `engine.py` compares kft with: a script as people write it after Keras's own guide.

    python benchmarks/plain_keras.py FOLDER --unfreeze none|top|all --epochs 10 [--size 160]

The transfer-learning guide of Keras (https://keras.io/guides/transfer_learning): data cached in
memory, ``base_model(inputs, training=False)``, dropout 0.2, a dense layer, Adam for the head alone
and SGD where the backbone trains. Of kft it uses the file of weights and nothing else.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import tensorflow as tf

import kft

WEIGHTS = Path(kft.__file__).parent / "weights/mobilenet_v2_1.0_224_imagenet_notop.weights.h5"
# The first of the top quarter of MobileNetV2's convolutions, as `kft plan` lists them.
TOP = "block_13_expand"


def model_of(size: int, classes: int) -> tuple[keras.Model, keras.Model]:
    """Returns the model of the guide and the pretrained part of it."""
    base = keras.applications.MobileNetV2(
        include_top=False,
        weights=str(WEIGHTS),
        input_shape=(size, size, 3),
    )
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x)), base


def unfreeze(base: keras.Model, what: str) -> None:
    """Sets what trains besides the head."""
    base.trainable = what != "none"
    if what == "top":
        names = [layer.name for layer in base.layers]
        for layer in base.layers[: names.index(TOP)]:
            layer.trainable = False


def batches(folder: Path, size: int) -> tf.data.Dataset:
    """Returns a cached data set of one class folder of images."""
    found = keras.utils.image_dataset_from_directory(
        folder, label_mode="categorical", image_size=(size, size), batch_size=None, verbose=False
    )
    return found.cache()


def main() -> None:
    """Trains, validating after every epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--unfreeze", choices=("none", "top", "all"), required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=32)
    chosen = parser.parse_args()
    classes = len([path for path in (chosen.folder / "train").iterdir() if path.is_dir()])
    train = batches(chosen.folder / "train", chosen.size).shuffle(1024, seed=0)
    held_out = batches(chosen.folder / "validation", chosen.size)
    model, base = model_of(chosen.size, classes)
    unfreeze(base, chosen.unfreeze)
    head_only = chosen.unfreeze == "none"
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3)
        if head_only
        else keras.optimizers.SGD(3e-3, momentum=0.9, global_clipnorm=1.0),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        train.batch(chosen.batch_size).prefetch(tf.data.AUTOTUNE),
        validation_data=held_out.batch(chosen.batch_size).prefetch(tf.data.AUTOTUNE),
        epochs=chosen.epochs,
        verbose=0,
    )


if __name__ == "__main__":
    main()
