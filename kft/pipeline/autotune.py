"""Datasets without the tuner of tf.data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns `dataset`, whose iterators end when they are through.

    The thread that tunes one sleeps 10 ms, then twice as long each time, and in TensorFlow 2.21 it
    often sleeps on when the data ends, while its reader waits for it: a pass of 3 seconds
    then takes 5.1, and one of 0.4 takes 0.6 (seen here; no issue there names it). Without it,
    ``AUTOTUNE`` is as many calls at once as there are processors.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
