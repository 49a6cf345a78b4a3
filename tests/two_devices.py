"""Two logical CPUs for MirroredStrategy, where a machine has one of them and no GPU.

Imported while tests are collected: TensorFlow takes no devices once it has begun to work.
"""

import functools

import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@functools.cache
def mirrored() -> tf.distribute.MirroredStrategy:
    """The strategy with a replica on each; a second one would confuse its sums with its own."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
