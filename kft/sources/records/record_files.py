"""Any record of TFRecord files by its number, without holding them."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from kft.errors import DataError
from kft.messages import one_line
from kft.sources.records.records import PASS_SIZE
from kft.storage.files import read_part

if TYPE_CHECKING:
    import tensorflow as tf

# A record is its length in 8 bytes, a checksum of that in 4, itself, and a checksum of it in 4.
BEFORE, AFTER = 12, 4
GZIP = b"\x1f\x8b"


class RecordFiles:
    """The records of TFRecord files, counted through all of them.

    Attributes:
        sizes: How many records each file has, known once `scan` has come to its end.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.sizes: list[int] = []
        self._paths = paths
        self._starts: list[int] = []  # the number of the first record of each file
        self._offsets = array("q")
        self._lengths = array("q")

    def scan(self) -> Iterator[tf.Tensor]:
        """Yields all records in batches, and remembers where they lie.

        Raises:
            DataError: A file is damaged, cut short or compressed.
        """
        import tensorflow as tf

        for path in self._paths:
            self._starts.append(len(self._lengths))
            try:
                for batch in tf.data.TFRecordDataset(path).batch(PASS_SIZE).prefetch(2):
                    self._lengths.extend(tf.strings.length(batch).numpy().tolist())
                    yield batch
            except tf.errors.OpError as error:
                raise unreadable(path, error) from error
            self._add_file()

    def read(self, row: int) -> bytes:
        """Returns a record."""
        path = self._paths[bisect_right(self._starts, row) - 1]
        return read_part(path, self._offsets[row], self._lengths[row])

    def _add_file(self) -> None:
        """Adds up where the records of the file that was read last lie."""
        lengths = self._lengths[self._starts[-1] :]
        self.sizes.append(len(lengths))
        framed = (BEFORE + length + AFTER for length in lengths)
        ends = accumulate(framed, initial=0)
        self._offsets.extend(end + BEFORE for end, _ in zip(ends, lengths, strict=False))


def unreadable(path: str, error: tf.errors.OpError) -> DataError:
    """Returns the error for a file of records that cannot be read to its end."""
    import tensorflow as tf

    if not isinstance(error, tf.errors.DataLossError):
        return DataError(path, f"cannot be read: {one_line(error)}", "Make the file readable")
    if read_part(path, 0, 2) == GZIP:
        problem = "is compressed, so single records cannot be read"
        return DataError(path, problem, "Decompress it")
    return DataError(
        path,
        f"is damaged, cut short or no TFRecord file: {one_line(error)}",
        "Write the file again with tf.io.TFRecordWriter",
    )
