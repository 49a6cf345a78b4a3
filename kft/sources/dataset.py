"""Any finite `tf.data.Dataset` as a source, held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from kft.data import DataSource, Split, Splits, Target
from kft.errors import DataError
from kft.input import Input
from kft.sources.dataset_checks import (
    check_alike,
    check_elements,
    check_names,
    check_trained,
    fault,
)
from kft.sources.labels import in_range
from kft.sources.tensors import Tensors

if TYPE_CHECKING:
    import tensorflow as tf

Held = Annotated[Any, Field(exclude=True, repr=False)]


class Datasets(DataSource):
    """A `tf.data.Dataset` for each split; `from_datasets` makes it.

    A config cannot hold a dataset: one read back from a file has none, which is enough to open
    the run and predict, but not to train or to score again.

    Attributes:
        class_names: In label order.
        train: Elements ``(raw, class number)``, one example each, finite. The same for the others.
        test: None makes no test split.
    """

    class_names: tuple[str, ...]
    train: Held = None
    validation: Held = None
    test: Held = None

    def load(self, seed: int) -> Splits:
        check_names(self.class_names)
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
            check_elements(dataset, name)
            check_alike(self.train, dataset, name)
        splits = {
            name: held_split(dataset, name, len(self.class_names), self.input)
            for name, dataset in datasets.items()
        }
        check_trained(splits["train"], self.class_names)
        return Splits(
            train=splits["train"],
            validation=splits["validation"],
            test=splits.get("test"),
            target=Target("class", self.class_names),
            input=self.input,
        )


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
    `Input.encode` of the input takes: for `ImageInput` the bytes of a file, or uint8 pixels.
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
        input=input or as_they_are(train),
        **settings,
    )


def as_they_are(dataset: tf.data.Dataset) -> Tensors:
    """Returns the input that takes the examples of `dataset` as they are."""
    check_elements(dataset, "train")
    raw = dataset.element_spec[0]
    if not raw.shape.is_fully_defined():
        raise fault(
            "train",
            f"has examples of shape {raw.shape}, which is not fixed",
            "Give them one with tf.ensure_shape or by resizing, or encode them as bytes and name "
            "the input that reads those",
        )
    return Tensors(shape=tuple(raw.shape), dtype=raw.dtype.name)


def held_split(dataset: tf.data.Dataset, name: str, classes: int, input: Input) -> Split:
    """Returns the examples of `dataset` in memory, named ``name/0`` and so on.

    Raises:
        DataError: It is empty or ragged, not what `input` takes, or a label is no number of the
            `classes`.
    """
    import numpy as np
    import tensorflow as tf

    pairs = list(dataset.as_numpy_iterator())
    if not pairs:
        raise fault(name, "holds no example", "Give it some")
    shapes = sorted({np.shape(raw) for raw, _ in pairs})
    if len(shapes) > 1:
        raise fault(
            name,
            f"holds examples of different shapes, such as {shapes[0]} and {shapes[1]}",
            "Give them one shape, or encode them as bytes",
        )
    labels = in_range(
        f"the {name} dataset", np.asarray([label for _, label in pairs], "int64"), classes
    )
    raws = [raw for raw, _ in pairs]
    dtype = dataset.element_spec[0].dtype  # which tf.stack would make int32 of uint8
    held = tf.stack(raws) if dtype == tf.string else tf.constant(np.stack(raws), dtype)
    names = [f"{name}/{number}" for number in range(len(pairs))]
    input.encode(held[0])  # only to know before the work begins that it can be read
    return Split(names, labels, lambda index: input.encode(tf.gather(held, index)))
