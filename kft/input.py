"""The input contract: how one example of a modality is read, in TensorFlow ops.

The same ops feed training, evaluation, prediction and the exported graph, so that a served model
sees what the trained one saw.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from kft.augmentation import Augmentation
from kft.errors import ConfigError
from kft.settings.component import Component

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True)
class Signature:
    """One way to call a served model.

    Attributes:
        name: Of the SavedModel signature; the first is ``serving_default``.
        spec: Of what a caller sends: one batch, its first dimension None.
        prepare: Turns that into a batch as `Input.decode` would give it.
    """

    name: str
    spec: tf.TensorSpec
    prepare: Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Fingerprints by which similar examples are found.

    Attributes:
        hashes: uint64 ``(n,)``; those of like examples differ in few bits.
        sketches: uint8 ``(n, k)``; those of like examples differ by little on average.
    """

    hashes: np.ndarray
    sketches: np.ndarray


@dataclass(frozen=True)
class Suggestion:
    """What a first config should say of the data at hand.

    Attributes:
        settings: By their place in a run config, such as ``data.input.size``.
        reasons: Why, by the same places; also of what is best left out.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


class Input(Component):
    """Reads raw examples of one modality.

    Attributes:
        noun: What messages call an example, such as ``image``.
        plural: The same of several, such as ``images``.
        default_backbone: What `kft init` writes as the backbone, as in a config; None if that is
            for the user to say.
        file_endings: Of the files that hold one example each, in lower case, such as ``.jpg``.
        converted_endings: Of further such files, which `convert` makes others of.
        unused_by_decode: The settings that `decode` does not depend on, such as an augmentation.
        decode_version: To be raised when `decode` gives other examples of the same files, so that
            those that lie on disk are made again.
        standard_augmentations: What suits nearly all examples, for a phase that is to augment
            where the input does not.

    Example:
        >>> import tensorflow as tf
        >>> from kft import Input, Signature
        >>> class Numbers(Input):
        ...     count: int = 2
        ...
        ...     @property
        ...     def spec(self):
        ...         return tf.TensorSpec((self.count,), tf.float32)
        ...
        ...     @property
        ...     def is_augmented(self):
        ...         return False
        ...
        ...     def decode(self, raw):
        ...         numbers = tf.strings.to_number(tf.strings.split(raw))
        ...         return tf.ensure_shape(numbers, (self.count,))
        ...
        ...     def augment(self, inputs, seeds):
        ...         return inputs
        ...
        ...     def signatures(self):
        ...         def decoded(raw):
        ...             return tf.map_fn(self.decode, raw, fn_output_signature=self.spec)
        ...
        ...         lines = tf.TensorSpec((None,), tf.string, name="lines")
        ...         return (Signature("serving_default", lines, decoded),)
        >>> Numbers().decode("0.5 2").numpy()
        array([0.5, 2. ], dtype=float32)
    """

    role: ClassVar[str] = "input"
    noun: ClassVar[str] = "example"
    plural: ClassVar[str] = "examples"
    default_backbone: ClassVar[Mapping[str, Any] | None] = None
    file_endings: ClassVar[tuple[str, ...]] = ()
    converted_endings: ClassVar[tuple[str, ...]] = ()
    unused_by_decode: ClassVar[tuple[str, ...]] = ()
    decode_version: ClassVar[int] = 1
    standard_augmentations: ClassVar[tuple[Augmentation, ...]] = ()

    @classmethod
    def counted(cls, number: int, of: str = "") -> str:
        """A number of examples for people, such as ``1 image`` or ``5 training images``."""
        return " ".join(filter(None, (str(number), of, cls.noun if number == 1 else cls.plural)))

    @property
    @abstractmethod
    def spec(self) -> tf.TensorSpec:
        """Shape and dtype of one decoded example, without the batch dimension."""

    @property
    @abstractmethod
    def is_augmented(self) -> bool:
        """Says whether `augment` changes anything."""

    def encode(self, example: tf.Tensor) -> tf.Tensor:
        """The raw example that `decode` takes, of one that a source holds as an array.

        Here the array itself. A kind whose raw examples are files makes one of it, and returns a
        string, which is such a file, unchanged.

        Raises:
            DataError: Arrays of this dtype and shape are no examples.
        """
        return example

    @classmethod
    def convert(cls, file: bytes) -> bytes:
        """Returns a file that a served model takes, of one that `decode` takes; here the same.

        Where an input has `converted_endings`, its `decode` calls Python for such files, whatever
        they are called, and `signatures` do not: a server has no kft.

        Raises:
            ValueError: It cannot be converted; the message says why.
        """
        return file

    @abstractmethod
    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        """Returns one example of `spec` from what a source holds, such as the bytes of a file.

        Raises:
            tf.errors.InvalidArgumentError: The example is damaged.
        """

    @abstractmethod
    def augment(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Returns a random variant of each of `inputs`, of the same shape and dtype.

        `inputs` has shape ``(batch, …)``; `seeds` int64 ``(batch, 2)``. An example's variant
        depends on its own seed alone, not on its place in the batch. Python conditions on tensors
        need a `tf.function` around them.
        """

    def with_augmentations(self, augmentations: tuple[Augmentation, ...]) -> Self:
        """The same input, whose `augment` applies `augmentations` and nothing else.

        Raises:
            ConfigError: This input takes none, as here unless a kind says otherwise.
        """
        raise ConfigError(
            where="augment",
            problem=f"the input {self.kind!r} takes no augmentations from a phase",
            fix="Remove it, or set it to false",
        )

    def regions(self, shares: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """The part of an example that CutMix takes from another: a region at random.

        `shares`, float32 ``(batch,)``, say how large; `seeds`, int64 ``(batch, 2)``, where. The
        result is of bool and may be broadcast to the inputs, with as many dimensions.

        Raises:
            ConfigError: Examples of this input have no regions, as here unless a kind says
                otherwise.
        """
        raise ConfigError(
            where="cutmix",
            problem=f"the input {self.kind!r} has no regions that could be cut out",
            fix="Remove cutmix, or use mixup",
        )

    def measure(self, raw: tf.Tensor) -> tf.Tensor:
        """Returns numbers of a raw example that `remarks` judges, int64 ``(k,)``; here none."""
        import tensorflow as tf

        return tf.zeros([0], tf.int64)

    def remarks(self, names: Sequence[str], measures: np.ndarray) -> Iterable[tuple[str, str]]:
        """Returns a remark on each unusual example, with its name; here none.

        `measures` are those of `names`, ``(n, k)``.
        """
        return ()

    def suggest(self, examples: Iterable[tf.Tensor]) -> Suggestion:
        """What `kft init` should write, and why, besides what the user has said; here nothing.

        `examples` are some raw examples to train on, fetched as they are asked for.
        """
        return Suggestion()

    def fingerprints(self, inputs: np.ndarray) -> Fingerprints | None:
        """Fingerprints that are near for similar decoded `inputs`; None if there are none."""
        return None

    @abstractmethod
    def signatures(self) -> tuple[Signature, ...]:
        """Returns the ways to call a served model, the default first.

        The default takes raw examples, as `decode` does.
        """
