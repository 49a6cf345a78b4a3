"""Examples as `tf.train.Example` messages: which feature holds what, and one pass over them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from kft.component import Settings, closest
from kft.errors import DataError, one_line
from kft.sources.rows import fetch_with

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

PASS_SIZE = 32  # records may hold megabytes


class FeatureMap(Settings):
    """Which features of a `tf.train.Example` hold what.

    Attributes:
        input: One example: the bytes of a file, or numbers.
        label: Its class: one whole number or text.
        group: What it belongs to, such as its patient; null is nothing.
        name: What it is called, such as its file, unlike all others; null is its place.
    """

    input: str
    label: str = "label"
    group: str | None = None
    name: str | None = None

    def columns(self) -> dict[str, str]:
        """Returns the features that are read of all examples at once, by role."""
        roles = {"label": self.label, "group": self.group, "name": self.name}
        return {role: feature for role, feature in roles.items() if feature is not None}


def read_columns(
    where: str, batches: Iterable[tf.Tensor], features: FeatureMap
) -> dict[str, np.ndarray]:
    """Returns the columns of `features` by role, ``(n,)``; `batches` are of messages, ``(b,)``.

    Raises:
        DataError: A message is none, or lacks a feature.
    """
    import numpy as np
    import tensorflow as tf

    columns = features.columns()
    found: dict[str, list[np.ndarray]] = {role: [] for role in columns}
    specs: dict[str, Any] = {}
    for messages in batches:
        if not specs:
            first = messages[0].numpy()
            specs = {key: spec_of(where, first, key, single=True) for key in columns.values()}
        try:
            parsed = tf.io.parse_example(messages, specs)
        except tf.errors.InvalidArgumentError as error:
            raise DataError(
                where,
                f"has a record unlike the first: {one_line(error)}",
                "Write all records with the same features",
            ) from error
        for role, key in columns.items():
            found[role].append(parsed[key].numpy())
    if not specs:
        raise DataError(where, "holds no record", "Give some")
    return {role: np.concatenate(arrays) for role, arrays in found.items()}


def spec_of(where: str, message: bytes, key: str, *, single: bool) -> tf.io.FixedLenFeature:
    """Returns how the feature `key` is read, judged by one `message`.

    Several numbers are a vector, which `single` refuses.

    Raises:
        DataError: The message is none, or the feature is missing or of another form.
    """
    import tensorflow as tf

    values = feature_of(where, message, key)
    dtypes = {"bytes_list": tf.string, "int64_list": tf.int64, "float_list": tf.float32}
    sort = values.WhichOneof("kind")
    count = len(getattr(values, sort).value) if sort else 0
    if count != 1 and (single or count == 0 or sort == "bytes_list"):
        raise DataError(
            where, f"has {count} values in the feature {key!r}, expected one", "Name another"
        )
    return tf.io.FixedLenFeature(() if count == 1 else (count,), dtypes[sort])


def feature_of(where: str, message: bytes, key: str) -> Any:
    """Returns the feature `key` of a `message`.

    Raises:
        DataError: It is no message, or lacks the feature.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        found = tf.train.Example.FromString(message).features.feature
    except DecodeError as error:
        raise DataError(
            where, "holds records that are no tf.train.Example", "Write them as such"
        ) from error
    if key not in found:
        raise DataError(
            where,
            f"has no feature {key!r}{closest(key, found)}",
            "Set data.features to what they are called there",
        )
    return found[key]


def fetch_feature(
    where: str, read: Callable[[int], bytes], key: str
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns what fetches the feature `key` of the message that `read` returns.

    Raises:
        DataError: The first message lacks it.
    """
    import tensorflow as tf

    spec = {key: spec_of(where, read(0), key, single=False)}
    fetch = fetch_with(read, tf.TensorSpec((), tf.string))
    return lambda index: tf.io.parse_single_example(fetch(index), spec)[key]
