"""TensorFlow's start-up noise, hidden from people who did not ask for it."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def import_tensorflow_quietly() -> None:
    """Imports TensorFlow and Keras without their log lines.

    Errors of TensorFlow's C++ that matter reach Python as exceptions.
    """
    with without_noise():
        import keras  # noqa: F401
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    tf.autograph.set_verbosity(0)


@contextmanager
def without_noise() -> Iterator[None]:
    """Sends what is written to standard error nowhere, and silences warnings from now on.

    TensorFlow 2.21 writes its first lines before it reads TF_CPP_MIN_LOG_LEVEL.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
