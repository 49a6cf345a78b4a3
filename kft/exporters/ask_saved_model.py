"""Calls a SavedModel as a server would: run as a script, with TensorFlow and nothing else.

Its arguments are the SavedModel, a file with the serialized raw examples, their dtype, the name of
the output to write, and the file to write it to, serialized.
"""

import sys

# A server has no Keras. Without it TensorFlow is imported in two thirds of the time, too.
sys.modules["keras"] = None  # type: ignore[assignment]

import tensorflow as tf  # noqa: E402


def main(path: str, question: str, dtype: str, key: str, answer: str) -> None:
    """Writes what the default signature answers under `key` for every example."""
    raw = tf.io.parse_tensor(tf.io.read_file(question), tf.dtypes.as_dtype(dtype))
    model = tf.saved_model.load(path)
    serve = model.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    outputs = serve(**{name: raw})[key]
    tf.io.write_file(answer, tf.io.serialize_tensor(outputs))


if __name__ == "__main__":
    main(*sys.argv[1:])
