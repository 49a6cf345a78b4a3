"""Reads labels, groups and names out of `tf.train.Example` messages in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from kft.data import TargetKind
from kft.errors import DataError
from kft.messages import closest, one_line
from kft.settings.component import Settings
from kft.sources.py_fetch import fetch_with

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

PASS_SIZE = 32  # records may hold megabytes


class FeatureMap(Settings):
    """The features of a `tf.train.Example`, by role.

    Attributes:
        input: One example: the bytes of a file, or numbers.
        label: What is to be predicted: of a class, one whole number or text; of several labels, 0
            or 1 for each, or a list of numbers or texts; of values, numbers. Or a list of
            features: a label or a value each.
        group: What it belongs to, such as its patient; null is nothing.
        name: What it is called, such as its file, unlike all others; null is its place.
    """

    input: str
    label: str | Annotated[tuple[str, ...], Field(min_length=1)] = "label"
    group: str | None = None
    name: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The features that hold what is to be predicted."""
        return (self.label,) if isinstance(self.label, str) else self.label

    @property
    def read_at_once(self) -> tuple[str, ...]:
        """The features that are read of all examples before any other."""
        others = [feature for feature in (self.group, self.name) if feature is not None]
        return tuple(dict.fromkeys((*self.labels, *others)))

    def by_role(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns `columns`, by feature, by role; those of several features side by side."""
        import numpy as np

        found = {"group": self.group, "name": self.name}
        roles = {role: columns[feature] for role, feature in found.items() if feature is not None}
        if isinstance(self.label, str):
            return roles | {"label": columns[self.label]}
        return roles | {"label": np.stack([columns[feature] for feature in self.label], axis=1)}


def read_columns(
    where: str, batches: Iterable[tf.Tensor], features: FeatureMap, predicts: TargetKind
) -> dict[str, np.ndarray]:
    """Returns columns by role, ``(n,)``; `batches` are of messages, ``(b,)``.

    The labels may also be ``(n, k)``; several labels in one feature are lists, object ``(n,)``.

    Raises:
        DataError: A message is none, or lacks a feature.
    """
    import numpy as np
    import tensorflow as tf

    found: dict[str, list[np.ndarray]] = {feature: [] for feature in features.read_at_once}
    specs: dict[str, Any] = {}
    for messages in batches:
        specs = specs or column_specs(where, messages, features, predicts)
        try:
            parsed = tf.io.parse_example(messages, specs)
        except tf.errors.InvalidArgumentError as error:
            raise DataError(
                where,
                f"has a record unlike the first: {one_line(error)}",
                "Write all records with the same features",
            ) from error
        for feature, columns in found.items():
            columns.append(rows_of(parsed[feature]))
    if not specs:
        raise DataError(where, "holds no record", "Give files with at least one record")
    return features.by_role({feature: np.concatenate(each) for feature, each in found.items()})


def column_specs(
    where: str, messages: tf.Tensor, features: FeatureMap, predicts: TargetKind
) -> dict[str, Any]:
    """The feature spec of each column, judged by the first `messages`."""
    import tensorflow as tf

    first = messages[0].numpy()
    specs: dict[str, Any] = {}
    for feature in features.read_at_once:
        if feature == features.label and predicts == "multilabel":
            specs[feature] = tf.io.RaggedFeature(list_dtype(where, messages, feature))
        else:
            is_row = feature == features.label and predicts == "value"
            specs[feature] = spec_of(where, first, feature, single=not is_row)
    return specs


def rows_of(column: tf.Tensor | tf.RaggedTensor) -> np.ndarray:
    """Returns a column as an array; one of lists as an array of arrays."""
    import numpy as np
    import tensorflow as tf

    if isinstance(column, tf.RaggedTensor):
        return lists_of(np.split(column.values.numpy(), column.row_splits.numpy()[1:-1]))
    rows: np.ndarray = column.numpy()
    return rows


def lists_of(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Returns arrays as an array of arrays, object ``(n,)``, also where their lengths agree."""
    import numpy as np

    return np.fromiter(rows, dtype=object, count=len(rows))


def list_dtype(where: str, messages: tf.Tensor, key: str) -> tf.DType:
    """The dtype of the lists of the feature `key`, judged by the first that is not empty."""
    for message in messages.numpy():
        sort, count = sort_of(features_of(where, message).get(key))
        if count:
            return dtypes()[sort]
    feature_of(where, messages[0].numpy(), key)
    raise DataError(
        where,
        f"has nothing in the feature {key!r} of its first records",
        "Name a feature that has values in data.features",
    )


def spec_of(where: str, message: bytes, key: str, *, single: bool) -> tf.io.FixedLenFeature:
    """The spec by which the feature `key` is read, judged by one `message`.

    Several numbers are a vector, which `single` refuses.

    Raises:
        DataError: The message is none, or the feature is missing or of another form.
    """
    import tensorflow as tf

    sort, count = sort_of(feature_of(where, message, key))
    if count != 1 and (single or count == 0 or sort == "bytes_list"):
        raise DataError(
            where,
            f"has {count} values in the feature {key!r}, expected one",
            "Name another feature in data.features"
            + '; for several labels or values, set data.predicts to "multilabel" or "value"'
            * single,
        )
    return tf.io.FixedLenFeature(() if count == 1 else (count,), dtypes()[sort])


def dtypes() -> dict[str, tf.DType]:
    """The TensorFlow dtype of each kind of feature."""
    import tensorflow as tf

    return {"bytes_list": tf.string, "int64_list": tf.int64, "float_list": tf.float32}


def sort_of(values: Any) -> tuple[str, int]:
    """The kind of values in a feature, and their number; a feature that is not there has none."""
    sort = None if values is None else values.WhichOneof("kind")
    return (sort, len(getattr(values, sort).value)) if sort else ("", 0)


def feature_of(where: str, message: bytes, key: str) -> Any:
    """Returns the feature `key` of a `message`.

    Raises:
        DataError: It is no message, or lacks the feature.
    """
    found = features_of(where, message)
    if key not in found:
        raise DataError(
            where,
            f"has no feature {key!r}{closest(key, found)}",
            "Set data.features to names of features that are there",
        )
    return found[key]


def features_of(where: str, message: bytes) -> Mapping[str, Any]:
    """Returns the features of a `message` by name.

    Raises:
        DataError: It is none.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        return dict(tf.train.Example.FromString(message).features.feature)
    except DecodeError as error:
        raise DataError(
            where,
            "holds records that are no tf.train.Example",
            "Write each record as a serialized tf.train.Example",
        ) from error


def fetch_feature(
    where: str, read: Callable[[int], bytes], key: str
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that reads the feature `key` of the message that `read` returns.

    Raises:
        DataError: The first message lacks it.
    """
    import tensorflow as tf

    spec = {key: spec_of(where, read(0), key, single=False)}
    fetch = fetch_with(read, tf.TensorSpec((), tf.string))
    return lambda index: tf.io.parse_single_example(fetch(index), spec)[key]
