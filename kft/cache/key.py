"""What features depend on, as one key: the examples, the layers, their weights, the versions.

Two sets with the same key are the same, so a key never needs to know when or where they were made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft import __version__
from kft.pipeline.autotune import without_autotune

if TYPE_CHECKING:
    import keras
    import numpy as np

    from kft.data import Split

# The field of a row that holds the digest of the example.
DIGEST = "digest"
DIGEST_BYTES = 16
# Of a layer's config; neither changes what the layer computes in inference mode from its weights.
WITHOUT_EFFECT = ("trainable", "shared_object_id")
# The keys under which Keras writes the names of layers.
NAMES = ("name", "keras_history", "input_layers", "output_layers")


@dataclass(frozen=True)
class ModelDigest:
    """What the outputs of a model depend on besides its inputs.

    Attributes:
        layers: Of the layers and how they are connected, whatever they are called; None if the
            model cannot be described.
        weights: Of the values of all variables.
    """

    layers: str | None
    weights: str


def digest_each(inputs: np.ndarray) -> np.ndarray:
    """A digest of each of a batch of decoded examples, uint8 ``(batch, 16)``."""
    import numpy as np

    kind = f"{inputs.dtype}{inputs.shape[1:]}".encode()
    digests = np.empty((len(inputs), DIGEST_BYTES), "uint8")
    for digest, example in zip(digests, inputs, strict=True):
        data = example if isinstance(example, bytes) else np.ascontiguousarray(example).tobytes()
        hashed = hashlib.blake2b(kind + data, digest_size=DIGEST_BYTES)
        digest[:] = np.frombuffer(hashed.digest(), "uint8")
    return digests


def digests_of(split: Split, batch_size: int) -> np.ndarray:
    """A digest of each example of a decoded split, uint8 ``(size, 16)``.

    They are computed in batches of `batch_size`, unless the split has them.
    """
    import numpy as np
    import tensorflow as tf

    if split.digests is not None:
        return split.digests
    indices = tf.data.Dataset.range(split.size).batch(batch_size)
    batches = without_autotune(split.fetched(indices, batch_size).prefetch(2))
    return np.concatenate([digest_each(inputs.numpy()) for _, inputs in batches])


def digest_model(model: keras.Model) -> ModelDigest:
    """Digests the layers and weights of `model`."""
    weights = hashlib.blake2b(digest_size=20)
    for variable in model.variables:
        value = variable.numpy()
        weights.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    return ModelDigest(digest_layers(model), weights.hexdigest())


def digest_layers(model: keras.Model) -> str | None:
    """A digest of the layers of `model`, or None if they do not describe themselves."""
    import keras

    try:
        config = keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError):
        return None
    text = json.dumps(nameless(config, {}), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def nameless(value: Any, names: dict[str, int], key: str = "") -> Any:
    """Numbers the layers of a serialized model in the order they are named, in place of names.

    Keras names a layer by how many of its kind the process has made, so the same model may have
    other names the next time.
    """
    if isinstance(value, str):
        return names.setdefault(value, len(names)) if key in NAMES else value
    if isinstance(value, list | tuple):
        return [nameless(item, names, key) for item in value]
    if not isinstance(value, Mapping) or "DTypePolicy" in str(value.get("class_name")):
        return value  # the name of a policy is the dtype
    effective = [inner for inner in value if inner not in WITHOUT_EFFECT]
    return {inner: nameless(value[inner], names, inner) for inner in effective}


def key_of(model: ModelDigest, examples: np.ndarray, rest: Mapping[str, Any]) -> str:
    """The key of features, 40 hexadecimal digits.

    `examples` are the digests of the inputs, uint8 ``(size, 16)``; `rest` is ready for JSON.
    """
    import keras
    import tensorflow as tf

    parts = {
        "layers": model.layers,
        "weights": model.weights,
        "examples": hashlib.blake2b(examples.tobytes(), digest_size=20).hexdigest(),
        "versions": [__version__, keras.__version__, tf.__version__],
        **rest,
    }
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
