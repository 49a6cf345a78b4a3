"""Data sets of tensorflow-datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from kft.data import Splits, TargetKind
from kft.errors import DataError
from kft.messages import quoted
from kft.settings.component import AbsolutePath
from kft.sources.labels.classes import ClassSource
from kft.sources.labels.labelled import Labelled, labelled_splits
from kft.sources.labels.labels import predicted_in, text_of
from kft.sources.records.records import FeatureMap
from kft.sources.splitting.split_names import SplitName, one_each
from kft.sources.splitting.split_rule import SplitRule
from kft.sources.tfds.tfds_builder import find_builder
from kft.sources.tfds.tfds_labels import feature_at, target_kind, used_classes
from kft.sources.tfds.tfds_store import Stored, stored

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds


class Tfds(ClassSource):
    """A data set of tensorflow-datasets that is prepared on a disk.

    Its splits ``train``, ``validation`` and ``test``, or other words for them, are used. Without
    one for validation, `split` takes its share out of train. Examples are called by split and
    place, such as ``train/17``. Encoded pictures stay so until `input` reads them.

    Attributes:
        name: As tensorflow-datasets has it, with configuration and version if you like, such as
            ``cifar10`` or ``cifar10:3.0.2``.
        data_dir: Where it is prepared; may be a URL. Left out, where tensorflow-datasets looks.
        download: Whether to download and prepare it if it is not there. A run, and also
            ``kft plan`` and ``kft check``, then does so.
        features: Left out, those that the data set names as its input and label.
        predicts: One ``class``, any number of labels (``multilabel``), or numbers (``value``).
            Left out, what the type of the label says: floats are values, and a list or vector of
            other things is several labels.
        own_splits: Whether its splits are used. If not, all their examples are divided by `split`.
        split: How to divide what is not divided yet.
    """

    name: Annotated[str, Field(min_length=1)]
    data_dir: AbsolutePath | None = None
    download: bool = False
    features: FeatureMap | None = None
    predicts: TargetKind | None = None
    own_splits: bool = True
    split: SplitRule = SplitRule()

    def load(self, seed: int) -> Splits:
        builder = find_builder(self.name, self.data_dir, self.download)
        features = self.features or self._supervised(builder)
        for key in (features.input, *features.read_at_once):
            feature_at(builder, key)
        predicts = self.predicts or target_kind(builder, features)
        splits = self._splits(builder)
        found = {name: stored(builder, name, features, predicts) for name in splits}
        parts = {name: part for name, part in found.items() if part.is_labelled}
        labels, class_names, unused = used_classes(builder, features, column(parts, "label"))
        each = [(name, row) for name, part in parts.items() for row in range(part.size)]
        names = [f"{name}/{row}" for name, row in each]
        if features.name is not None:
            names = [text_of(name) for name in column(parts, "name").tolist()]
        labelled = Labelled(
            where=self._where,
            names=names,
            predicted=self.chosen(
                predicted_in(self._where, labels, predicts, features.label, class_names)
            ),
            groups=None if features.group is None else column(parts, "group"),
            given=[splits[name] for name, _ in each] if self.own_splits else None,
            fetch=joined(list(parts.values())),
            notes=tuple(self._notes(builder, found, unused)),
        )
        return labelled_splits(labelled, self.input, self.split, seed)

    @property
    def _where(self) -> str:
        return f"data.name {self.name!r}"

    def _supervised(self, builder: tfds.core.DatasetBuilder) -> FeatureMap:
        """The features that the data set names as its input and label."""
        keys = builder.info.supervised_keys
        if not (keys and len(keys) == 2 and all(isinstance(key, str) for key in keys)):
            raise DataError(
                self._where,
                "does not say which of its features are the input and the label: "
                f"{quoted(sorted(builder.info.features))}",
                "Name them: --set data.features.input=NAME --set data.features.label=NAME",
            )
        return FeatureMap(input=keys[0], label=keys[1])

    def _splits(self, builder: tfds.core.DatasetBuilder) -> dict[str, SplitName]:
        """Which split each of its own is, of those that can be used."""
        found = {name: self.split.split_called(name) for name in builder.info.splits}
        splits = {name: split for name, split in found.items() if split}
        if self.own_splits and self.split.names is None:
            one_each(self._where, splits)
        if not splits or (self.own_splits and "train" not in splits.values()):
            raise DataError(
                self._where,
                f"has no split 'train' among {quoted(builder.info.splits) or 'none'}",
                "Say in data.split.names which split is which, or set data.own_splits to false to "
                "divide all examples"
                if splits
                else "Say in data.split.names which split is which",
            )
        return splits

    def _notes(
        self,
        builder: tfds.core.DatasetBuilder,
        found: Mapping[str, Stored],
        unused: Sequence[str],
    ) -> Iterator[str]:
        """Yields what a person should know."""
        yield f"{builder.info.full_name} from {builder.data_dir}"
        if others := [name for name in builder.info.splits if name not in found]:
            yield f"passed over the splits {quoted(others)}"
        for name, part in found.items():
            if not part.is_labelled:
                yield f"left out {name}, whose examples have no labels"
            elif part.note:
                yield part.note
        if unused:
            yield f"left out the classes {quoted(unused)}, of which there is no example"


def column(parts: Mapping[str, Stored], role: str) -> np.ndarray:
    """Returns a column of all `parts`, one after the other."""
    import numpy as np

    return np.concatenate([part.columns[role] for part in parts.values()])


def joined(parts: Sequence[Stored]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that reads an example of any of `parts`, counted through them."""
    import tensorflow as tf

    if len(parts) == 1:
        return parts[0].fetch
    starts = tf.cumsum(tf.constant([part.size for part in parts], "int64"), exclusive=True)

    def fetch(index: tf.Tensor) -> tf.Tensor:
        index = tf.cast(index, "int64")
        number = tf.searchsorted(starts, index[tf.newaxis], side="right")[0] - 1
        row = index - tf.gather(starts, number)
        return tf.switch_case(number, [lambda part=part: part.fetch(row) for part in parts])

    return fetch
