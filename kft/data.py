"""The data contract: what every source finds, whatever the modality."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from unicodedata import category

from kft.errors import DataError
from kft.host_memory import from_memory
from kft.input import Input
from kft.settings.bounds import BatchSize
from kft.settings.component import AbsolutePath, Component

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


TargetKind = Literal["class", "multilabel", "value"]


@dataclass(frozen=True)
class Target:
    """What the head predicts.

    Attributes:
        kind: One class out of `names`, any number of them, or one float for each.
        names: Class names in label order, or the names of the values; each is one line.
        means: Of each value over the training examples; empty counts as 0.
        deviations: Likewise the standard deviations, each above 0; empty counts as 1.

    Raises:
        DataError: A name is no Unicode text, which no file of a run could hold.

    Example:
        >>> import numpy as np
        >>> from kft import Target
        >>> Target("class", ("cat", "dog")).dense(np.array([1, 0]))
        array([[0., 1.],
               [1., 0.]], dtype=float32)
    """

    kind: TargetKind
    names: tuple[str, ...]
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in self.names:
            if "".join(name.splitlines()) != name:
                raise DataError(
                    where="the names of the target",
                    problem=f"hold {name!r}, which is more than one line",
                    fix="Remove the line breaks: files list the names one a line",
                )
            if any(category(letter) == "Cs" for letter in name):
                raise DataError(
                    where="the names of the target",
                    problem=f"hold {name!r}, which is no Unicode text",
                    fix="Rename it: files of a run hold UTF-8",
                )

    @classmethod
    def of_values(cls, names: Sequence[str], labels: np.ndarray) -> Target:
        """Returns the target of values that training examples have, ``(size, k)``."""
        import numpy as np

        spread = np.std(labels, axis=0, dtype="float64")
        deviations = np.where(spread > 0, spread, 1.0)
        means = np.mean(labels, axis=0, dtype="float64")
        return cls("value", tuple(names), tuple(means.tolist()), tuple(deviations.tolist()))

    @classmethod
    def from_json(cls, text: str) -> Target:
        """Returns the target that `to_json` gave."""
        saved = json.loads(text)
        means, deviations = (tuple(saved.get(key, ())) for key in ("means", "deviations"))
        return cls(saved["kind"], tuple(saved["names"]), means, deviations)

    def to_json(self) -> str:
        """Returns the target as a person can read it."""
        settings = {key: value for key, value in asdict(self).items() if value}
        return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"

    def dense(self, labels: np.ndarray) -> np.ndarray:
        """Returns the labels of a `Split` as a head's loss takes them, float32 ``(size, k)``."""
        import numpy as np

        if self.kind != "class":
            return labels
        dense = np.zeros((len(labels), len(self.names)), "float32")
        dense[np.arange(len(labels)), labels] = 1
        return dense


@dataclass(frozen=True, eq=False)
class Split:
    """Examples by number. The engine owns their order; a split never shuffles.

    Attributes:
        names: What a person calls each example, such as its path.
        labels: Class numbers int32 ``(size,)``, or float32 ``(size, k)`` for other targets.
        fetch: The raw example of an int64 scalar index, in TensorFlow ops: Python conditions on
            tensors need a `tf.function` around them. What it gives is what `Input.decode` takes.
        weights: How much each example counts in the loss, float32 ``(size,)``, or of several
            labels each of them, ``(size, k)``; None is 1.
        groups: What each example belongs to, such as its patient; empty or None is nothing.
        files: The file that holds each example and nothing else, if there is one of this machine.
            What one decodes to can be found again while it is unchanged.
        fetches_many: Whether `fetch` also takes a vector of indices, and gives a batch.
        digests: Of each decoded example, uint8 ``(size, 16)``; None until it has been decoded.

    Example:
        >>> import numpy as np
        >>> import tensorflow as tf
        >>> from kft import Split
        >>> rows, labels = tf.constant([[0.1], [0.7], [0.9]]), np.array([0, 1, 1], "int32")
        >>> split = Split(["a", "b", "c"], labels, lambda index: tf.gather(rows, index))
        >>> last = split.take([2])
        >>> last.names, last.fetch(tf.constant(0, tf.int64)).numpy()
        (['c'], array([0.9], dtype=float32))
    """

    names: Sequence[str]
    labels: np.ndarray
    fetch: Callable[[tf.Tensor], tf.Tensor]
    weights: np.ndarray | None = None
    groups: Sequence[str] | None = None
    files: Sequence[str] | None = None
    fetches_many: bool = False
    digests: np.ndarray | None = None

    @property
    def size(self) -> int:
        """How many examples there are."""
        return len(self.names)

    def take(self, indices: Sequence[int]) -> Split:
        """Returns the split of the examples at `indices`, in that order."""
        import numpy as np

        kept = np.asarray(indices, "int64")
        numbers = from_memory(kept)
        return replace(
            self,
            names=[self.names[index] for index in kept],
            labels=self.labels[kept],
            fetch=lambda index: self.fetch(numbers(index)),
            weights=None if self.weights is None else self.weights[kept],
            groups=None if self.groups is None else [self.groups[index] for index in kept],
            files=None if self.files is None else [self.files[index] for index in kept],
            digests=None if self.digests is None else self.digests[kept],
        )

    def joined(self, other: Split) -> Split:
        """Returns the examples of this split, then those of `other`, which has such examples too.

        Either may lack weights, groups, files or digests: without weights each counts 1, and the
        others are then of neither.
        """
        import numpy as np
        import tensorflow as tf

        def fetch(index: tf.Tensor) -> tf.Tensor:
            mine = lambda: self.fetch(index)  # noqa: E731
            return tf.cond(index < self.size, mine, lambda: other.fetch(index - self.size))

        def weights(split: Split) -> np.ndarray:
            return np.ones(split.size, "float32") if split.weights is None else split.weights

        def both(mine: Any, others: Any) -> Any:
            return None if mine is None or others is None else [*mine, *others]

        weighted = self.weights is not None or other.weights is not None
        whole = self.digests is not None and other.digests is not None
        return Split(
            names=[*self.names, *other.names],
            labels=np.concatenate([self.labels, other.labels]),
            fetch=fetch,
            weights=np.concatenate([weights(self), weights(other)]) if weighted else None,
            groups=both(self.groups, other.groups),
            files=both(self.files, other.files),
            digests=np.concatenate([self.digests, other.digests]) if whole else None,
        )

    def fetched(self, indices: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """Returns ``(indices, examples)`` of batches of int64 `indices`, each ``(batch,)``.

        All but the last must hold `batch_size`.
        """
        import tensorflow as tf

        if self.fetches_many:
            return indices.map(lambda index: (index, self.fetch(index)))
        each = indices.unbatch().map(
            lambda index: (index, self.fetch(index)), num_parallel_calls=tf.data.AUTOTUNE
        )
        # Without it Keras takes the end of the data for a lack of data.
        counted = tf.data.experimental.assert_cardinality(indices.cardinality())
        return each.batch(batch_size).apply(counted)


@dataclass(frozen=True)
class Splits:
    """The splits that a source found.

    Attributes:
        train: The only split that is shuffled and augmented.
        validation: Picks the best epoch.
        test: Held out for the report, or None.
        target: What the labels mean.
        input: How an example is read.
        notes: What a person should know of the finding, such as files that were passed over.
    """

    train: Split
    validation: Split
    test: Split | None
    target: Target
    input: Input
    notes: tuple[str, ...] = ()

    def by_name(self) -> Mapping[str, Split]:
        """Returns the splits there are, by the names that files and messages use."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many examples each split has, by its name."""
        return {name: split.size for name, split in self.by_name().items()}

    def pooled(self) -> Split:
        """Returns the training examples, then those of validation."""
        return self.train.joined(self.validation)

    def with_splits(self, named: Mapping[str, Split], notes: tuple[str, ...]) -> Splits:
        """Returns these splits with those in `named`, as `by_name` gives them, and `notes`."""
        test = named.get("test")
        return replace(
            self, train=named["train"], validation=named["validation"], test=test, notes=notes
        )


class DataSource(Component):
    """Finds examples, labels and splits. Knows no modality: its `input` does.

    Attributes:
        input: How one example is read.
        batch_size: Examples in one optimizer step, over all devices.
        on_bad_input: Whether an example that cannot be read stops the run or is left out and
            listed. Nothing is ever deleted.
        exclude: A file that names examples to leave out, as `kft check --write-exclude` writes it.

    Example:
        >>> import numpy as np
        >>> import tensorflow as tf
        >>> from kft import DataSource, Split, Splits, Target
        >>> from kft.sources.arrays.tensors import Tensors
        >>> class AboveHalf(DataSource):
        ...     size: int = 8
        ...
        ...     def load(self, seed):
        ...         rows = np.random.default_rng(seed).random((self.size, 1), "float32")
        ...         names = [str(number) for number in range(self.size)]
        ...         labels = (rows[:, 0] > 0.5).astype("int32")
        ...         whole = Split(names, labels, lambda index: tf.gather(rows, index))
        ...         train, validation = whole.take(range(6)), whole.take(range(6, self.size))
        ...         target = Target("class", ("no", "yes"))
        ...         return Splits(train, validation, None, target, self.input)
        >>> AboveHalf(input=Tensors(shape=(1,))).load(seed=0).sizes
        {'train': 6, 'validation': 2}
    """

    role: ClassVar[str] = "data"

    input: Input
    batch_size: BatchSize = 32
    on_bad_input: Literal["stop", "skip"] = "stop"
    exclude: AbsolutePath | None = None

    @abstractmethod
    def load(self, seed: int) -> Splits:
        """Returns the splits; the same `seed` gives the same ones.

        Raises:
            DataError: There is nothing to train on.
        """
