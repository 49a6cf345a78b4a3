"""Messages and files of them, as other programs would write them."""

import tensorflow as tf


def feature(value):
    """One value, or a list, as a feature of a message."""
    values = value if isinstance(value, list) else [value]
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def example(**values):
    """A serialised `tf.train.Example`."""
    features = {key: feature(value) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_records(path, messages, options=None):
    """Writes a TFRecord file; `path` may be a URL."""
    with tf.io.TFRecordWriter(str(path), options) as file:
        for message in messages:
            file.write(message)
