"""A `tf.data.Dataset` of your own and a Keras model of your own, by the Python API.

A small convolutional net learns the handwritten digits 0 to 4 in plain Keras. Then kft takes it
as a backbone, puts a new head on it and fine-tunes it for the digits 5 to 9, of which it gets
only thirty examples each. Nothing here is an image file: the examples are arrays of 8x8 floats, and
so are the questions to the model at the end. No network. Takes about 20 seconds on two cores.
The config in the run's directory cannot name a dataset that lived in this process; for a run that
a file can repeat, call `from_datasets` in the `load` of a `kft.DataSource` of your own.

    python examples/own_dataset_and_backbone.py            # works in a new temporary folder
    python examples/own_dataset_and_backbone.py my_digits  # or in a folder you name
"""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import kft
from kft.recipe.optimizer import Adam
from kft.recipe.unfreeze import UnfreezeNone, UnfreezeTop
from kft.settings.component import AbsolutePath
from kft.sources.arrays.dataset import from_datasets

PER_CLASS = 30


def convnet() -> keras.Model:
    """Returns a net from scans ``(batch, 8, 8, 1)`` to features ``(batch, 64)``."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Conv2D(32, 3, activation="relu", name="strokes"),
            keras.layers.Conv2D(64, 3, activation="relu", name="parts"),
            keras.layers.Conv2D(64, 3, activation="relu", name="digits"),
            keras.layers.GlobalMaxPooling2D(),
        ]
    )


class DigitsNet(kft.BackboneSource):
    """The net above; its fields are what a config could set.

    Attributes:
        weights: File with the weights.
    """

    weights: AbsolutePath

    def load(self, input_spec: tf.TensorSpec, pretrained: bool = True) -> kft.Backbone:
        """Returns the net; each layer with weights is a stage that a phase may unfreeze."""
        model = convnet()
        if pretrained:
            model.load_weights(self.weights)
        return kft.Backbone("DigitsNet", model, kft.layer_stages(model), self.batch_norm)


def pretrain(scans: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """Trains the net on the digits 0 to 4 and writes its weights."""
    net = convnet()
    classifier = keras.Sequential([net, keras.layers.Dense(5, "softmax")])
    classifier.compile("adam", "sparse_categorical_crossentropy")
    classifier.fit(scans[labels < 5], labels[labels < 5], epochs=10, verbose=0)
    net.save_weights(path)


def dataset(scans: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    """Returns ``(scan, class number)``, one example each: kft shuffles and batches them itself."""
    return tf.data.Dataset.from_tensor_slices((scans, labels - 5))


def main(work: Path) -> None:
    """Runs the example in the folder `work`."""
    work.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    scans, labels = load_digits(return_X_y=True)
    scans = scans.reshape(-1, 8, 8, 1).astype("float32")
    pretrain(scans, labels, work / "digits_net.weights.h5")

    scans, labels = scans[labels >= 5], labels[labels >= 5]
    first = np.concatenate([np.flatnonzero(labels == digit)[:PER_CLASS] for digit in range(5, 10)])
    rest = np.setdiff1d(np.arange(len(labels)), first)
    data = from_datasets(
        train=dataset(scans[first], labels[first]),
        validation=dataset(scans[rest[::2]], labels[rest[::2]]),
        test=dataset(scans[rest[1::2]], labels[rest[1::2]]),
        class_names=("five", "six", "seven", "eight", "nine"),
        batch_size=10,
    )
    config = kft.RunConfig(
        output_dir=str(work / "run"),
        data=data,
        backbone=DigitsNet(weights=str(work / "digits_net.weights.h5")),
        phases=(
            kft.Phase(
                name="head", epochs=20, optimizer=Adam(learning_rate=1e-2), unfreeze=UnfreezeNone()
            ),
            kft.Phase(
                name="top",
                epochs=20,
                optimizer=Adam(learning_rate=1e-3),
                unfreeze=UnfreezeTop(stages=2),
            ),
        ),
    )
    result = kft.run(config)
    for phase in result.phases:
        print(f"Phase {phase.name!r}: validation accuracy {phase.best['val_accuracy']:.3f}")
    print(f"Test accuracy: {result.scores['test']['accuracy']:.3f}")

    asked = scans[rest[1::2]][:5]
    answers = kft.predict(result.directory, list(asked))
    print("Predicted:", *(answer.answer["classes"][0].decode() for answer in answers))
    print("Labels:   ", *(data.class_names[label - 5] for label in labels[rest[1::2]][:5]))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="kft-")))
