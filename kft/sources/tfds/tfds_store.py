"""The records of one split of a data set of tensorflow-datasets, in each format it may have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.cache.inference import memory_budget
from kft.data import TargetKind
from kft.errors import DataError
from kft.host_memory import from_memory
from kft.sources.records.record_files import RecordFiles
from kft.sources.records.records import PASS_SIZE, FeatureMap, fetch_feature, lists_of, read_columns
from kft.storage.files import is_remote

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds


@dataclass(frozen=True, eq=False)
class Stored:
    """The examples of one split.

    Attributes:
        columns: As `read_columns` returns them.
        fetch: What gives the input of an example, as `Labelled` has it.
        note: What a person should know, or nothing.
    """

    columns: dict[str, np.ndarray]
    fetch: Callable[[tf.Tensor], tf.Tensor]
    note: str = ""

    @property
    def size(self) -> int:
        """How many examples there are."""
        return len(self.columns["label"])

    @property
    def is_labelled(self) -> bool:
        """Says whether there are labels; tensorflow-datasets has -1 for no class."""
        labels = self.columns["label"]
        return labels.dtype.kind != "i" or bool((labels != -1).any())


class ArrayRecords:
    """The records of array_record files, counted through all of them."""

    def __init__(self, paths: Sequence[str]) -> None:
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        self._records = ArrayRecordDataSource(paths)

    def scan(self) -> Iterator[tf.Tensor]:
        """Yields all records in batches."""
        import tensorflow as tf

        size = len(self._records)
        for start in range(0, size, PASS_SIZE):
            rows = range(start, min(start + PASS_SIZE, size))
            yield tf.constant(self._records.__getitems__(rows))

    def read(self, row: int) -> bytes:
        """Returns a record."""
        return bytes(self._records[row])


def stored(
    builder: tfds.core.DatasetBuilder, split: str, features: FeatureMap, predicts: TargetKind
) -> Stored:
    """The `split` of a prepared data set.

    The formats tfrecord and array_record are read record by record. Of others the inputs, as
    bytes, are held in memory.

    Raises:
        DataError: It cannot be read, does not hold `features`, or is too large to be held.
    """
    import tensorflow as tf

    where = f"data.name {builder.info.full_name!r}"
    paths = [str(path) for path in builder.info.splits[split].filepaths]
    file_format = builder.info.file_format.value
    if file_format == "array_record" and is_remote(paths[0]):
        fix = "Copy it to a local disk, or prepare it as tfrecord"
        raise DataError(where, "is array_record at a URL", fix)
    stores: dict[str, Any] = {"tfrecord": RecordFiles, "array_record": ArrayRecords}
    try:
        if file_format not in stores:
            return held(builder, split, features, predicts)
        store = stores[file_format](paths)
        columns = read_columns(where, store.scan(), features, predicts)
        return Stored(columns, fetch_feature(where, store.read, features.input))
    except (ImportError, OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0].split("}} ")[-1]
        fix = "Prepare it again with tensorflow-datasets"
        raise DataError(where, f"cannot be read: {reason}", fix) from error


def held(
    builder: tfds.core.DatasetBuilder, split: str, features: FeatureMap, predicts: TargetKind
) -> Stored:
    """A `split` in memory, of a format that cannot be read one example at a time."""
    import tensorflow_datasets as tfds

    size, budget = builder.info.splits[split].num_bytes, memory_budget()
    stored_as = f"{split} is stored as {builder.info.file_format.value}, from end to end only"
    if size > budget:
        raise DataError(
            f"data.name {builder.info.full_name!r}",
            f"{stored_as}, and its {size / 1e6:,.0f} MB do not fit into a quarter of the free "
            f"memory, {budget / 1e6:,.0f} MB",
            'Prepare it again with file_format="array_record"',
        )
    skip = tfds.decode.SkipDecoding()
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    dataset = builder.as_dataset(split=split, decoders={features.input: skip}, read_config=in_order)
    rows = [*dataset.as_numpy_iterator()]
    inputs = from_memory([row[features.input] for row in rows])
    lists = {features.label} if predicts == "multilabel" else {}
    columns = {
        key: column([value_at(row, key) for row in rows], is_list=key in lists)
        for key in features.read_at_once
    }
    note = f"{stored_as}: its examples, {size / 1e6:,.1f} MB, are held in memory"
    return Stored(features.by_role(columns), inputs, note)


def value_at(row: Mapping[str, Any], key: str) -> Any:
    """The value of `key`, such as ``attributes/Male``, in a row."""
    value: Any = row
    for part in key.split("/"):
        value = value[part]
    return value


def column(values: Sequence[Any], *, is_list: bool) -> np.ndarray:
    """Returns `values` as `read_columns` gives a column."""
    import numpy as np

    return lists_of([np.atleast_1d(each) for each in values]) if is_list else np.array(values)
