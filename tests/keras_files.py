"""Models of a user's, in files of their own."""

import keras


def save_picture_model(folder, sequential=False):
    """A small classifier of pictures; its path."""
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Conv2D(4, 3, name="first"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Conv2D(6, 3, activation="relu", name="second"),
        keras.layers.GlobalAveragePooling2D(name="pool"),
        keras.layers.Dense(2, name="classes"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    if not sequential:
        model = keras.Model(model.inputs, model.outputs)
    path = folder / "mine.keras"
    model.save(path)
    return str(path)


def save_vector_model(folder):
    """A small classifier of eight numbers; its path."""
    layers = [keras.layers.Dense(6, name="first"), keras.layers.Dense(6, name="second")]
    model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(2, name="classes")])
    path = folder / "vectors.keras"
    model.save(path)
    return str(path)
