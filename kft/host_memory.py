"""Rows are held in the memory of the host, which is what the budgets are of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


def on_host() -> AbstractContextManager[None]:
    """Puts the tensors that are made in the context into the memory of the host.

    TensorFlow would put most of them on the first GPU.
    """
    import tensorflow as tf

    context: AbstractContextManager[None] = tf.device("CPU:0")
    return context


def from_memory(*arrays: Sequence[Any] | np.ndarray) -> Callable[[tf.Tensor], Any]:
    """Makes a function that fetches rows of a copy of the arrays or lists, each ``(size, …)``.

    It takes an int64 index or a vector of them, and gives a tensor, or a tuple for several arrays.
    """
    import tensorflow as tf

    with on_host():
        copies = tuple(tf.constant(array) for array in arrays)

    def fetch(index: tf.Tensor) -> Any:
        with on_host():  # Where it runs eagerly, a GPU would be given all rows to gather one.
            rows = tuple(tf.gather(copy, index) for copy in copies)
        return rows if len(rows) > 1 else rows[0]

    return fetch
