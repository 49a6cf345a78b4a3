"""Makes the statistics of batch normalisation exact by a pass over training examples.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft.cache.inference import PASS_SIZE
from kft.data import Split
from kft.layers.batch_norm import batch_statistics, trained_norms
from kft.layers.inference_mode import InferenceMode
from kft.pipeline.autotune import without_autotune

# Bounds the time: about as many as the 200 batches that fvcore's precise_bn takes.
EXAMPLES = 128 * PASS_SIZE


class Recalibration(keras.callbacks.Callback):
    """Makes the statistics exact after each epoch.

    It comes before the callback that validates, so that the validated weights have them.
    """

    def begin(self, split: Split) -> None:
        """Takes the statistics from the examples of `split`, for the model that is fitted next."""
        self._split = split

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds the layers that train."""
        self._recalibrate = recalibration(self.model, self._split)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the statistics, computed with the weights at the end of the epoch."""
        self._recalibrate()


def recalibration(model: keras.Model, split: Split) -> Callable[[], None]:
    """Returns a function that sets the statistics of the trained batch norms to those of `split`.

    `model` takes the examples of `split`. The backbone is in an `InferenceMode` layer; without one,
    or if none of its batch norms trains, the function does nothing.

    This is PreciseBN (Wu and Johnson 2021, "Rethinking Batch in BatchNorm"): every layer
    normalises by the batch of up to 64 that passes through, and its moments over all batches
    together become its statistics. At most 8,192 examples are read, shuffled and not augmented,
    as neither validation nor an export augments.
    """
    backbones = [layer.model for layer in model.layers if isinstance(layer, InferenceMode)]
    trained = [(part, norms) for part in backbones if (norms := trained_norms(part))]
    passes = [(norms, batch_moments(part, norms)) for part, norms in trained]

    def recalibrate() -> None:
        for norms, of_batch in passes:
            for norm, (mean, variance) in zip(norms, moments(of_batch, split), strict=True):
                norm.moving_mean.assign(mean)
                norm.moving_variance.assign(variance)

    return recalibrate


def batch_moments(
    model: keras.Model, norms: Sequence[keras.layers.BatchNormalization]
) -> Callable[[Any], tuple[int, list[Any]]]:
    """Returns a function from a batch to its size, and its mean and variance before each norm."""

    @tf.function(reduce_retracing=True)
    def of_batch(inputs: Any) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor]]]:
        with batch_statistics(norms), without_momentum(norms):
            model(list(inputs) if isinstance(inputs, tuple) else inputs, training=False)
        size = tf.shape(tf.nest.flatten(inputs)[0])[0]
        moved = [(norm.moving_mean, norm.moving_variance) for norm in norms]
        return size, tf.nest.map_structure(tf.convert_to_tensor, moved)

    return of_batch  # type: ignore[no-any-return]


@contextmanager
def without_momentum(norms: Sequence[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Makes the moving averages of `norms` those of the last batch only, while it lasts."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def moments(
    of_batch: Callable[[Any], tuple[int, list[Any]]], split: Split
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the mean and variance of each layer over the examples of `split`."""
    sizes, means, squares = [], [], []
    for inputs in mixed_batches(split):
        size, pairs = of_batch(inputs)
        sizes.append(int(size))
        batch = [[value.numpy().astype("float64") for value in pair] for pair in pairs]
        means.append([mean for mean, _ in batch])
        squares.append([variance + mean**2 for mean, variance in batch])
    mean_of = [np.average(layer, axis=0, weights=sizes) for layer in zip(*means, strict=True)]
    square_of = [np.average(layer, axis=0, weights=sizes) for layer in zip(*squares, strict=True)]
    return [
        (mean, np.maximum(square - mean**2, 0))
        for mean, square in zip(mean_of, square_of, strict=True)
    ]


def mixed_batches(split: Split) -> tf.data.Dataset:
    """Returns batches of inputs of nearly equal size, the same in every call.

    Shuffled, since sources list one class after another, and a batch of one class is no sample.
    """
    order = np.random.default_rng(0).permutation(split.size)[:EXAMPLES]
    batches = -(-len(order) // PASS_SIZE)
    size = -(-len(order) // batches)
    indices = tf.data.Dataset.from_tensor_slices(order).batch(size)
    inputs = split.fetched(indices, size).map(lambda _, inputs: inputs)
    return without_autotune(inputs.prefetch(2))
