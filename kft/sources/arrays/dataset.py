"""Any finite `tf.data.Dataset` as a source, held in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from kft.data import Split, Splits, Target, TargetKind
from kft.errors import DataError
from kft.host_memory import from_memory
from kft.input import Input
from kft.sources.arrays.tensors import Tensors
from kft.sources.labels.classes import ClassSource
from kft.sources.labels.label_checks import (
    check_alike,
    check_elements,
    check_names,
    check_trained,
    fault,
)
from kft.sources.labels.labels import in_range, numbers_of, predicted_in
from kft.sources.names import alike_notes

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

Held = Annotated[Any, Field(exclude=True, repr=False)]


class Datasets(ClassSource):
    """A `tf.data.Dataset` for each split; `from_datasets` makes it.

    A config cannot hold a dataset: one read back from a file has none, which is enough to open
    the run and predict, but not to train or to score again.

    Attributes:
        class_names: In label order; or the names of the labels or values.
        predicts: A ``class``, any number of labels (``multilabel``), or a ``value`` for each name.
        train: Elements ``(raw, label)``, one example each, finite. The same for the others.
        test: None makes no test split.
    """

    class_names: tuple[str, ...]
    predicts: TargetKind = "class"
    train: Held = None
    validation: Held = None
    test: Held = None

    def load(self, seed: int) -> Splits:
        check_names(self.class_names, least=2 if self.predicts == "class" else 1)
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        datasets = {name: given for name, given in named.items() if given is not None}
        if not {"train", "validation"} <= {*datasets}:
            raise DataError(
                where="data",
                problem="its datasets were in the memory of the program that trained, not in a "
                "file",
                fix="Call from_datasets again, or name a folder of examples",
            )
        for name, dataset in datasets.items():
            check_elements(dataset, name, self.predicts, len(self.class_names))
            check_alike(self.train, dataset, name)
        held = {name: held_split(dataset, name, self) for name, dataset in datasets.items()}
        splits, names, left_out = self._chosen_of(held)
        target = Target(self.predicts, names)
        if self.predicts == "value":
            target = Target.of_values(names, splits["train"].labels)
        check_trained(splits["train"], target)
        return Splits(
            train=splits["train"],
            validation=splits["validation"],
            test=splits.get("test"),
            target=target,
            input=self.input,
            notes=(*left_out, *alike_notes(names)),
        )

    def _chosen_of(
        self, splits: Mapping[str, Split]
    ) -> tuple[Mapping[str, Split], tuple[str, ...], list[str]]:
        """Returns what `classes` leaves of `splits`, the names of the target, and notes."""
        import numpy as np

        if self.classes is None:
            return splits, self.class_names, []
        labels = np.concatenate([split.labels for split in splits.values()])
        predicted = self.chosen(predicted_in("data", labels, self.predicts, "", self.class_names))
        kept = predicted.kept or [True] * len(labels)
        numbers = predicted.labels(predicted.names)
        found, start = {}, 0
        for name, split in splits.items():
            rows = slice(start, start + split.size)
            relabelled = replace(split, labels=numbers[rows])
            found[name] = relabelled.take([at for at, it in enumerate(kept[rows]) if it])
            start += split.size
            if not found[name].size:
                raise fault(name, "has no example of data.classes", "Name classes that it has")
        return found, predicted.names, [predicted.left_out] if predicted.left_out else []


def from_datasets(
    train: tf.data.Dataset,
    validation: tf.data.Dataset,
    test: tf.data.Dataset | None,
    class_names: Sequence[str],
    input: Input | None = None,
    **settings: Any,
) -> Datasets:
    """Returns a source of the examples in these datasets.

    Elements are ``(raw, class number)``: one example, not a batch, where `raw` is what
    `Input.encode` of the input takes: for `ImageInput` the bytes of a file, or uint8 pixels. With
    ``predicts="multilabel"`` or ``"value"`` they are ``(raw, numbers)``: a 0 or 1, or a value, for
    each of `class_names`.
    Without `input`, examples are taken as they are (see `Tensors`). `settings` are the others of
    every `DataSource`, such as ``batch_size``.

    A run goes through each dataset once and holds all its examples in memory, so `raw` has the
    same shape in all of them. That takes twice the size of the examples while they are read,
    and once more for the decoded ones, where they fit. The engine shuffles, batches and repeats
    on its own; a dataset that shuffles gives other numbers to its examples in each run. For runs
    that a config file can repeat, call this in the `load` of a `DataSource` of your own.

    Raises:
        DataError: Without `input`, the examples have no fixed shape.
    """
    return Datasets(
        train=train,
        validation=validation,
        test=test,
        class_names=tuple(class_names),
        input=input or as_they_are(train, settings.get("predicts", "class"), len(class_names)),
        **settings,
    )


def as_they_are(dataset: tf.data.Dataset, predicts: TargetKind, names: int) -> Tensors:
    """Returns the input that takes the examples of `dataset` as they are."""
    check_elements(dataset, "train", predicts, names)
    raw = dataset.element_spec[0]
    if not raw.shape.is_fully_defined():
        raise fault(
            "train",
            f"has examples of shape {raw.shape}, which is not fixed",
            "Give them one with tf.ensure_shape or by resizing, or encode them as bytes and name "
            "the input that reads those",
        )
    return Tensors(shape=tuple(raw.shape), dtype=raw.dtype.name)


def held_split(dataset: tf.data.Dataset, name: str, source: Datasets) -> Split:
    """Returns the examples of a `dataset` of `source` in memory, named ``name/0`` and so on.

    Raises:
        DataError: It is empty or ragged, not what the input takes, or a label is none.
    """
    import numpy as np

    pairs = list(dataset.as_numpy_iterator())
    if not pairs:
        raise fault(name, "holds no example", "Give a dataset with at least one example")
    shapes = sorted({np.shape(raw) for raw, _ in pairs})
    if len(shapes) > 1:
        raise fault(
            name,
            f"holds examples of different shapes, such as {shapes[0]} and {shapes[1]}",
            "Give them one shape, or encode them as bytes",
        )
    labels = labels_of([label for _, label in pairs], name, source)
    raws = [raw for raw, _ in pairs]
    is_text = dataset.element_spec[0].dtype == "string"
    held = from_memory(raws if is_text else np.stack(raws))
    names = [f"{name}/{number}" for number in range(len(pairs))]
    source.input.encode(held(0))  # only to know before the work begins that it can be read
    return Split(names, labels, lambda index: source.input.encode(held(index)))


def labels_of(labels: Sequence[Any], name: str, source: Datasets) -> np.ndarray:
    """Returns labels as a `Split` has them.

    Raises:
        DataError: One is no class of `source`, neither 0 nor 1, or no finite value.
    """
    import numpy as np

    where = f"the {name} dataset"
    if source.predicts == "class":
        return in_range(where, np.asarray(labels, "int64"), len(source.class_names))
    return numbers_of(where, np.asarray(labels, "float32"), source.predicts)
