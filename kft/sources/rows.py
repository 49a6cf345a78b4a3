"""Fetching an example by a function of Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def fetch_with(read: Callable[[int], Any], spec: tf.TensorSpec) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the `fetch` of a split whose example at a row is what `read` returns, of `spec`.

    It costs about 40 microseconds more than an op of TensorFlow, and one thread of Python at a
    time runs.
    """
    import tensorflow as tf

    def fetch(index: tf.Tensor) -> tf.Tensor:
        row = tf.numpy_function(lambda at: read(int(at)), [index], spec.dtype, stateful=False)
        return tf.ensure_shape(row, spec.shape)

    return fetch
