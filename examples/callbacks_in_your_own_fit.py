"""kft's callbacks in a `fit` of your own: no config, no run, just Keras.

Trains a classifier of scikit-learn's digits: first the head on a pretrained backbone, then both,
within one `fit`. The backbone here is a small network trained a moment before on the digits 0 to
4, so that nothing is downloaded; the task is to tell 5 to 9 apart. Takes seconds on two cores.

    python examples/callbacks_in_your_own_fit.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from kft.callbacks import (
    BestAcrossPhases,
    DiscriminativeLearningRates,
    DriftMonitor,
    UnfreezeBackbone,
)


def backbone() -> keras.Model:
    """Returns a small network with batch normalisation."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu", name="low"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Conv2D(32, 3, activation="relu", name="high"),
            keras.layers.GlobalAveragePooling2D(),
        ],
        name="backbone",
    )


def classifier(base: keras.Model, learning_rate: float) -> keras.Model:
    """Returns `base` with a new head for five classes, compiled."""
    model = keras.Sequential([keras.Input((8, 8, 1)), base, keras.layers.Dense(5, name="head")])
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def main() -> None:
    """Runs the example."""
    keras.utils.set_random_seed(0)
    pixels, digits = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32")
    known, new = digits < 5, digits >= 5

    base = backbone()
    classifier(base, 1e-2).fit(images[known], digits[known], epochs=4, verbose=0)

    order = np.random.default_rng(0).permutation(int(new.sum()))
    x, y = images[new][order], digits[new][order] - 5
    model = classifier(base, 1e-2)
    best = BestAcrossPhases("val_accuracy")
    history = model.fit(
        x[:600],
        y[:600],
        validation_data=(x[600:], y[600:]),
        epochs=8,
        verbose=0,
        callbacks=[
            UnfreezeBackbone("backbone", at_epoch=3, learning_rate=3e-3),
            DiscriminativeLearningRates({"low": 0.3}),
            DriftMonitor({"low": "low", "high": "high", "norm": "norm"}),
            best,
        ],
    ).history
    best.restore()

    for epoch, accuracy in enumerate(history["val_accuracy"]):
        moved = ", ".join(
            f"{name} {history[f'drift/{name}'][epoch]:.3f}" for name in ("low", "high")
        )
        print(f"Epoch {epoch + 1}: validation accuracy {accuracy:.3f}; moved: {moved}")
    print(f"Statistics of batch norm moved: {history['drift/norm/statistics'][-1]:.3f}")
    print(f"Kept epoch {best.epoch + 1}: {best.best:.3f}")


if __name__ == "__main__":
    main()
