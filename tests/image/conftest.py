import pytest
import tensorflow as tf

from kft.image.decode import decode_image


@pytest.fixture(scope="module")
def decode_in_graph():
    """Traced once, since tracing takes longer than a hundred pictures do."""
    return tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)])
