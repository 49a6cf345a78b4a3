"""Where the weights of keras.applications come from, and how they get into a model."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from kft.backbones.offline import is_offline
from kft.errors import BackboneError
from kft.messages import one_line

if TYPE_CHECKING:
    import keras

    from kft.image.application import Application

BUNDLED = Path(__file__).parents[1] / "weights" / "mobilenet_v2_1.0_224_imagenet_notop.weights.h5"


def keras_home() -> Path:
    """Returns the folder that Keras caches under; its files of weights are in ``models``."""
    home = Path.home()
    default = home if os.access(home, os.W_OK) else Path("/tmp")
    return Path(os.environ.get("KERAS_HOME") or default / ".keras")


def cached_files(published: Application) -> list[Path]:
    """Returns the ImageNet weights of a model that are in the cache of Keras."""
    sizes = published.weights_sizes or (published.default_size,)
    files = [cached_file(published, size) for size in sizes]
    return [file for file in files if file.is_file()]


def cached_file(published: Application, size: int) -> Path:
    """The path where Keras caches the ImageNet weights for images of `size`."""
    return keras_home() / "models" / published.weights_file.format(size=size)


def find_weights(published: Application, weights: str, size: int) -> Path:
    """Returns the file that `weights` names: ``imagenet``, for images of `size`, or a path.

    Raises:
        BackboneError: There is no such file, and none can be downloaded.
    """
    return download(published, size) if weights == "imagenet" else existing_file(weights)


def existing_file(weights: str) -> Path:
    """Returns the path of a file of weights on this machine.

    Raises:
        BackboneError: There is no such file.
    """
    if not Path(weights).is_file():
        raise BackboneError(
            where=f"backbone.weights {weights!r}",
            problem="is not a file on this machine",
            fix="Correct the path, or set 'imagenet' to download weights",
        )
    return Path(weights)


def download(published: Application, size: int) -> Path:
    """Returns the ImageNet weights for images of `size`, downloaded unless Keras has them.

    Raises:
        BackboneError: The download failed.
    """
    import keras

    file = cached_file(published, size)
    # get_file turns to /tmp where it cannot write, and would download what is there to read.
    if file.is_file() and (is_offline() or not os.access(keras_home(), os.W_OK)):
        return file
    url = published.weights_url.format(size=size)
    if is_offline():
        raise BackboneError(
            where="backbone.weights 'imagenet'",
            problem=f"those of {published.name} are not on this machine, and kft is offline",
            fix=f"Put {url} at {file}, or run without --offline and KFT_OFFLINE",
        )
    try:
        found = keras.utils.get_file(
            file.name,
            url,
            cache_subdir="models",
            cache_dir=str(keras_home()),
            file_hash=published.weights_hash,
        )
    except Exception as error:  # get_file raises a bare Exception when the network fails
        raise BackboneError(
            where="backbone.weights 'imagenet'",
            problem=f"cannot get the weights of {published.name}: {one_line(error)}",
            fix=f"Download {url} by hand and put it at {file}, or give its path as "
            "backbone.weights",
        ) from error
    return Path(found)


def load_weights(model: keras.Model, published: Application, file: Path) -> None:
    """Puts the weights of `file` into `model`, which has no top.

    Raises:
        BackboneError: They do not fit.
    """
    try:
        with warnings.catch_warnings():
            # Keras 3.15 warns once per layer of a file that it then refuses.
            warnings.simplefilter("ignore", UserWarning)
            model.load_weights(file)
    except (ValueError, KeyError, OSError) as error:
        example = published.weights_file.format(size=published.default_size)
        raise BackboneError(
            where=f"backbone.weights '{file}'",
            problem=f"does not fit {published.name} without its top: {one_line(error)}",
            fix=f"Give a '_notop' file of {published.name}, saved without the classifier; that of "
            f"Keras is called {example}",
        ) from error
    fold_deviation(model)


def fold_deviation(model: keras.Model) -> None:
    """Makes the input normalisation of EfficientNet B0 to B7 divide by the deviation.

    The published files hold the deviation in place of the variance (tensorflow/tensorflow#49930).
    Keras makes up for it with one more Rescaling, but only for ``weights="imagenet"``; with the
    correction in the variance the graph is the same for any weights.
    """
    import keras
    import numpy as np

    from kft.image.application_graph import IMAGENET_DEVIATION

    for layer in model.layers:
        if not (isinstance(layer, keras.layers.Normalization) and layer.weights):
            continue
        variance = np.asarray(layer.adapt_variance)
        if np.allclose(variance, IMAGENET_DEVIATION, rtol=1e-3):
            layer.adapt_variance.assign(variance * np.asarray(IMAGENET_DEVIATION))
            layer.finalize_state()
