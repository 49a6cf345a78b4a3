"""Models as users of plain Keras build them, for callbacks: a backbone, and a head on top."""

import keras
import numpy as np

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = (X.sum(axis=1, keepdims=True) > 0).astype("float32")


def backbone():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="low"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(3, activation="tanh", name="high"),
        ],
        name="backbone",
    )


def functional():
    inputs = keras.Input((4,))
    # Written as guides do, although Keras overrides the argument in fit.
    features = backbone()(inputs, training=False)
    return keras.Model(inputs, keras.layers.Dense(1, name="head")(features))


def sequential():
    return keras.Sequential([keras.Input((4,)), backbone(), keras.layers.Dense(1, name="head")])


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.backbone = backbone()
        self.head = keras.layers.Dense(1, name="head")

    def call(self, inputs, training=None):
        return self.head(self.backbone(inputs, training=training))


BUILDERS = {"functional": functional, "sequential": sequential, "subclassed": Subclassed}


def built(kind="functional", optimizer=None, **settings):
    """A compiled model with the same weights each time, all of them trainable."""
    keras.utils.set_random_seed(0)
    model = BUILDERS[kind]()
    model(X[:1])
    model.compile(
        optimizer=optimizer or keras.optimizers.Adam(0.05),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        **settings,
    )
    return model


def fit(model, *callbacks, epochs=3, **settings):
    """Fits in two steps per epoch, always on the same batches, and returns the history."""
    return model.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        validation_data=(X, Y),
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
        **settings,
    ).history


def name_of(variable):
    """Its layer where that is dense, its own name in batch normalisation."""
    layer, name = variable.path.split("/")[-2:]
    return name if layer == "norm" else layer


def snapshot(model):
    return [variable.numpy().copy() for variable in model.weights]


def moved(model, start):
    """What is not bit-identical to what it was."""
    return {
        name_of(variable)
        for variable, old in zip(model.weights, start, strict=True)
        if not np.array_equal(variable.numpy(), old)
    }
