"""Products as a GPU computes them in TF32: of factors rounded to 10 bits of mantissa."""

from contextlib import contextmanager
from unittest.mock import patch

import tensorflow as tf

PRODUCTS = ((tf, "matmul"), (tf.nn, "convolution"), (tf.nn, "depthwise_conv2d"))


def rounded(tensor):
    """`tensor` to the nearest of 10 bits of mantissa, if it is float32."""
    tensor = tf.convert_to_tensor(tensor)
    if tensor.dtype != tf.float32:
        return tensor
    bits = tf.bitcast(tensor, tf.int32)
    return tf.bitcast(tf.bitwise.bitwise_and(bits + 0x1000, ~0x1FFF), tf.float32)


def of_rounded(product):
    return lambda a, b, *args, **kwargs: product(rounded(a), rounded(b), *args, **kwargs)


@contextmanager
def multiplying_in_tf32():
    """What is computed or traced meanwhile multiplies like this."""
    patches = [patch.object(at, name, of_rounded(getattr(at, name))) for at, name in PRODUCTS]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()
