"""Arrays in an ``.npz`` file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.data import Splits, TargetKind
from kft.errors import DataError
from kft.messages import quoted
from kft.settings.component import AbsolutePath
from kft.sources.arrays.npz import read_npz
from kft.sources.labels.classes import ClassSource
from kft.sources.labels.labelled import Labelled, labelled_splits
from kft.sources.labels.labels import predicted_in
from kft.sources.py_fetch import fetch_with
from kft.sources.splitting.split_names import SPLITS, SplitName, one_each
from kft.sources.splitting.split_rule import SplitRule

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True, eq=False)
class Part:
    """The arrays of one split, or of all data.

    Attributes:
        key: What the array of examples is called.
        split: None if it is all data.
        inputs: ``(n, …)``.
        labels: ``(n,)`` or ``(n, k)``.
        groups: ``(n,)``.
    """

    key: str
    split: str | None
    inputs: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None


class Arrays(ClassSource):
    """Arrays in an ``.npz`` file, as `numpy.savez` writes them.

    Either one of examples and one of labels, which `split` divides, or one each for every split,
    as Keras has them: ``x_train``, ``y_train`` and likewise with ``_validation`` and
    ``_test``, or other words for them. Without one for validation, `split` takes its share out of
    train; without one for test there is no test split. Examples are called by array and row, such
    as ``x_train/17``. What lies uncompressed on a disk of this machine is read row by row.

    Attributes:
        path: Of the file; may be a URL.
        inputs: What the array of examples is called, ``(n, …)``. For pictures these are uint8.
        labels: What the array of labels is called. For a class they are whole numbers or text,
            ``(n,)`` or ``(n, 1)``; for several labels 0 or 1 for each, ``(n, k)``; for values
            numbers, ``(n,)`` or ``(n, k)``.
        predicts: One ``class``, any number of labels (``multilabel``), or numbers (``value``).
        groups: What the array is called that says which examples belong together, ``(n,)``.
        class_names: Of the labels 0, 1 and so on, or of the columns of labels. Left out, the
            labels are the names, and columns are numbered, such as ``y/0``.
        split: How to divide what is not divided yet.
    """

    path: AbsolutePath
    inputs: str = "x"
    labels: str = "y"
    predicts: TargetKind = "class"
    groups: str | None = None
    class_names: tuple[str, ...] | None = None
    split: SplitRule = SplitRule()

    def load(self, seed: int) -> Splits:
        import numpy as np

        parts = list(self._parts(read_npz(self.path, "data.path")))
        grouped = [part.groups for part in parts if part.groups is not None]
        given = [part.split for part in parts for _ in range(len(part.inputs))]
        labels = self._joined([part.labels for part in parts])
        found = Labelled(
            where=self._where,
            names=[f"{part.key}/{row}" for part in parts for row in range(len(part.inputs))],
            predicted=self.chosen(
                predicted_in(self._where, labels, self.predicts, self.labels, self.class_names)
            ),
            groups=np.concatenate(grouped) if grouped else None,
            given=given if parts[0].split else None,
            fetch=self._fetch([part.inputs for part in parts]),
        )
        return labelled_splits(found, self.input, self.split, seed)

    @property
    def _where(self) -> str:
        return f"data.path {self.path!r}"

    def _parts(self, arrays: Mapping[str, np.ndarray]) -> Iterator[Part]:
        """Yields what there is for each split; one part if the data is not divided.

        Raises:
            DataError: An array is missing, or has another length than its examples.
        """
        there: Mapping[str, str | None] = {"": None}
        if self.inputs not in arrays:
            there = self._endings(arrays)
        if not there:
            raise self._missing(arrays, "inputs", self.inputs)
        for ending, split in there.items():
            key = self.inputs + ending
            size = len(arrays[key])
            labels = self._column(arrays, "labels", self.labels + ending, size)
            groups = None
            if self.groups is not None:
                groups = self._column(arrays, "groups", self.groups + ending, size)
            yield Part(key, split, arrays[key], labels, groups)

    def _endings(self, arrays: Iterable[str]) -> dict[str, SplitName]:
        """Returns the split that each ending of an array of examples says, such as ``_train``."""
        start = f"{self.inputs}_"
        words = [key.removeprefix(start) for key in arrays if key.startswith(start)]
        splits = {word: split for word in words if (split := self.split.split_called(word))}
        if self.split.names is None:
            one_each(self._where, splits)
        ordered = sorted(splits.items(), key=lambda item: SPLITS.index(item[1]))
        return {f"_{word}": split for word, split in ordered}

    def _column(
        self, arrays: Mapping[str, np.ndarray], setting: str, key: str, size: int
    ) -> np.ndarray:
        """Returns the array `key`, as ``(size,)`` if it is ``(size, 1)``."""
        if key not in arrays:
            raise self._missing(arrays, setting, key)
        column = arrays[key]
        if column.ndim == 0 or len(column) != size:
            raise DataError(
                self._where,
                f"has {size} examples in {self.inputs!r}, but {key!r} is of shape {column.shape}",
                f"Write one row of {key!r} for each example",
            )
        return column[:, 0] if column.shape[1:] == (1,) else column

    def _joined(self, labels: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the labels of all parts."""
        import numpy as np

        self._refuse_unlike("labels", [f"shape {('n', *array.shape[1:])}" for array in labels])
        return np.concatenate(labels)

    def _refuse_unlike(self, what: str, kinds: Sequence[str]) -> None:
        """Refuses parts that differ in the `kinds` of their arrays."""
        if len({*kinds}) > 1:
            raise DataError(
                self._where,
                f"has {what} of different kinds: {', '.join(kinds)}",
                "Give the arrays of all splits one dtype and shape",
            )

    def _missing(self, arrays: Mapping[str, np.ndarray], setting: str, key: str) -> DataError:
        """Returns the error for an array that is not there."""
        return DataError(
            self._where,
            f"has no array {key!r}; it has {quoted(sorted(arrays)) or 'none'}",
            f"Set data.{setting} to the name of one of these arrays",
        )

    def _fetch(self, arrays: Sequence[np.ndarray]) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function that reads a row of `arrays`, counted through all of them."""
        import tensorflow as tf

        kinds = [f"{array.dtype} of shape {('n', *array.shape[1:])}" for array in arrays]
        self._refuse_unlike("examples", kinds)
        starts = [sum(len(array) for array in arrays[:number]) for number in range(len(arrays))]

        def read(row: int) -> Any:
            part = bisect_right(starts, row) - 1
            return arrays[part][row - starts[part]]

        dtype = tf.string if arrays[0].dtype.kind in "SU" else arrays[0].dtype
        return fetch_with(read, tf.TensorSpec(arrays[0].shape[1:], dtype))
