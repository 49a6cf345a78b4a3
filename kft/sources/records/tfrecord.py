"""Files of `tf.train.Example` messages, as TFRecordWriter writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kft.data import Splits, TargetKind
from kft.settings.component import AbsolutePath
from kft.sources.labels.classes import ClassSource
from kft.sources.labels.labelled import Labelled, labelled_splits
from kft.sources.labels.labels import predicted_in, text_of
from kft.sources.records.record_files import RecordFiles
from kft.sources.records.records import FeatureMap, fetch_feature, read_columns
from kft.sources.records.shards import find_shards
from kft.sources.splitting.split_rule import SplitRule


class Shard(NamedTuple):
    """One file.

    Attributes:
        name: What its records are called after.
        split: What the config says, or None if it divides all files.
    """

    name: str
    path: str
    split: str | None


class TfRecord(ClassSource):
    """TFRecord files of `tf.train.Example` messages, one for each example.

    A path is a file or a pattern such as ``photos/train-*.tfrecord``, and may be a URL. Without
    `validation_path`, `split` takes its share out of `path`; without both others it also takes
    the test split out of it. Every record is read once to know its label and where it lies, and
    then read from there. Examples are called by file and place, such as
    ``train-00000-of-00002.tfrecord/17``. Compressed files cannot be read.

    Attributes:
        path: Of the files for training, or of all files.
        validation_path: Of those for validation.
        test_path: Of those for the report.
        predicts: One ``class``, any number of labels (``multilabel``), or numbers (``value``).
        class_names: Of the labels 0, 1 and so on, or of the columns of labels. Left out, the
            labels are the names, and columns are called as their feature, or numbered, such as
            ``tags/0``.
        split: How to divide what is not divided yet.
    """

    path: AbsolutePath
    features: FeatureMap
    validation_path: AbsolutePath | None = None
    test_path: AbsolutePath | None = None
    predicts: TargetKind = "class"
    class_names: tuple[str, ...] | None = None
    split: SplitRule = SplitRule()

    def load(self, seed: int) -> Splits:
        shards = list(self._shards())
        files = RecordFiles([shard.path for shard in shards])
        columns = read_columns(self._where, files.scan(), self.features, self.predicts)
        predicted = predicted_in(
            self._where,
            columns["label"],
            self.predicts,
            self.features.label,
            self.class_names,
        )
        each = [
            (f"{shard.name}/{number}", shard.split)
            for shard, size in zip(shards, files.sizes, strict=True)
            for number in range(size)
        ]
        given = [split for _, split in each]
        found = Labelled(
            where=self._where,
            names=[text_of(name) for name in columns["name"].tolist()]
            if "name" in columns
            else [name for name, _ in each],
            predicted=self.chosen(predicted),
            groups=columns.get("group"),
            given=given if given[0] else None,
            fetch=fetch_feature(self._where, files.read, self.features.input),
        )
        return labelled_splits(found, self.input, self.split, seed)

    @property
    def _where(self) -> str:
        return f"data.path {self.path!r}"

    def _shards(self) -> Iterator[Shard]:
        """Yields the files of each split; those for training keep their names."""
        further = {"validation": self.validation_path, "test": self.test_path}
        apart = any(path is not None for path in further.values())
        for name, path in find_shards(self.path, "data.path").items():
            yield Shard(name, path, "train" if apart else None)
        for split, pattern in further.items():
            if pattern is not None:
                for name, path in find_shards(pattern, f"data.{split}_path").items():
                    yield Shard(f"{split}/{name}", path, split)
