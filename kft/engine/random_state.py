"""Preserves the global random states of Python, NumPy, TensorFlow and Keras."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def preserve_random_state() -> Iterator[None]:
    """Restores the random states of Python, NumPy, TensorFlow and Keras when the context ends.

    The seeds inside layers, such as those of dropout, are variables of their model. A
    `tf.random.Generator` has a state of its own, which is not seen here.
    """
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()
    restore_tensorflow, restore_keras = tensorflow_state(), keras_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        restore_tensorflow()
        restore_keras()


def ops_are_deterministic() -> bool:
    """Says whether TensorFlow takes deterministic kernels alone."""
    from tensorflow.python.framework.config import is_op_determinism_enabled

    return bool(is_op_determinism_enabled())


@contextmanager
def deterministic_ops(wanted: bool) -> Iterator[None]:
    """Has TensorFlow take kernels that give the same bits each time, if that is `wanted`.

    An op that has none for its device raises. `keras.utils.set_random_seed` must have been called
    before the first random number.
    """
    import tensorflow as tf
    from tensorflow.python.framework import config  # The public module cannot turn it off again.

    before = ops_are_deterministic()
    if wanted:
        tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        if wanted and not before:
            config.disable_op_determinism()


def tensorflow_state() -> Callable[[], None]:
    """Returns a function that restores TensorFlow's global seed, and its position."""
    from tensorflow.python.eager import context

    # TensorFlow 2.21 has no public way to read its position; there is no position without a seed.
    eager = context.context()

    def where() -> tuple[Any, Any]:
        return eager._seed, None if eager._seed is None else eager._rng.getstate()

    seed, position = before = where()

    def restore() -> None:
        if where() == before:
            return
        # Setting the seed also forgets kernels, which would go on from where they are.
        eager._set_global_seed(seed)
        if position is not None:
            eager._rng.setstate(position)

    return restore


def keras_state() -> Callable[[], None]:
    """Returns a function that restores the seed generator of layers that were given no seed."""
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    state = None if generator is None else generator.state.numpy()

    def restore() -> None:
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)
        if generator is not None:
            generator.state.assign(state)

    return restore
