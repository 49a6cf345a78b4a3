"""Datasets without the tuner of tf.data."""

import tensorflow as tf

from kft.pipeline.autotune import without_autotune


def test_the_tuner_is_off_and_nothing_else_changes():
    data = tf.data.Dataset.range(10).map(lambda x: 2 * x, tf.data.AUTOTUNE).batch(4).prefetch(2)

    found = without_autotune(data)

    assert found.options().autotune.enabled is False
    assert found.element_spec == data.element_spec
    assert [batch.numpy().tolist() for batch in found] == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18]]
