"""Two logical CPUs for MirroredStrategy, where a machine has one of them and no GPU.

Imported while tests are collected: TensorFlow takes no devices once it has begun to work.
"""

import tensorflow as tf

from kft.distribute.strategy import divide_cpu
from kft.distribute.strategy import mirrored as mirrored_on

DEVICES = ("CPU:0", "CPU:1")
divide_cpu(len(DEVICES))


def mirrored() -> tf.distribute.MirroredStrategy:
    """The strategy with a replica on each."""
    return mirrored_on(DEVICES)
