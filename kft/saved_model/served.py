"""Asks an exported SavedModel, as a server would: batches of raw examples in, answers out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kft.errors import ConfigError, DataError
from kft.messages import asserted, one_line

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

GRAPH_STATE = ("Graph execution error", "Detected at node", "<stack traces", "[[{{node")
NO_NUMBER = "the model's answer is no number"

# An example's own row of each output of the model, or the reason why there is none.
Answer = Mapping[str, "np.ndarray"] | str


class Signature(NamedTuple):
    """One function of a SavedModel that takes one batch.

    Attributes:
        name: Of the tensor that it takes.
        spec: Of that tensor, its first dimension that of the batch.
    """

    function: Callable[..., Mapping[str, tf.Tensor]]
    name: str
    spec: tf.TensorSpec

    @property
    def most(self) -> int | None:
        """Examples that it takes at once; None if any number."""
        size: int | None = self.spec.shape[0] if self.spec.shape.rank else None
        return size


class Served:
    """A SavedModel that is loaded and answers; several threads may ask it at once.

    Raises:
        ConfigError: TensorFlow cannot load what lies at `path`.
    """

    def __init__(self, path: Path) -> None:
        import tensorflow as tf

        try:
            # Its functions live as long as the object they were loaded with.
            self._loaded: Any = tf.saved_model.load(str(path))
        except (OSError, ValueError, RuntimeError, KeyError, tf.errors.OpError) as error:
            problem = f"TensorFlow cannot load it: {one_line(error)}"
            fix = "Give a SavedModel that this TensorFlow can read"
            raise ConfigError(str(path), problem, fix) from error
        self._signatures = [*signatures_of(self._loaded)]

    def answers(self, examples: Sequence[tf.Tensor]) -> list[Answer]:
        """An answer to each of `examples`: files as strings, or arrays, of any sizes.

        Those of one dtype and shape are asked in one call. A call that fails, as of a batch with a
        damaged file, is made again for each half of its batch.

        Raises:
            DataError: No signature of the model takes such an example.
        """
        found: dict[int, Answer] = {}
        alike: dict[Any, list[int]] = {}
        for number, example in enumerate(examples):
            alike.setdefault((example.dtype, tuple(example.shape)), []).append(number)
        for numbers in alike.values():
            signature = self._taking(examples[numbers[0]])
            most = signature.most or len(numbers)
            for start in range(0, len(numbers), most):
                part = numbers[start : start + most]
                answers = ask(signature, [examples[number] for number in part])
                found.update(zip(part, answers, strict=True))
        return [found[number] for number in range(len(examples))]

    def _taking(self, example: tf.Tensor) -> Signature:
        """The first signature that takes examples of the dtype and shape of `example`."""
        for signature in self._signatures:
            spec = signature.spec
            if spec.dtype == example.dtype and spec.shape[1:].is_compatible_with(example.shape):
                return signature
        raise DataError(
            "the example",
            f"has dtype {example.dtype.name} and shape {example.shape}, which no signature of the "
            "model takes",
            "Give files, or arrays as the model's signatures want them",
        )


def signatures_of(loaded: Any) -> Iterator[Signature]:
    """Yields the signatures that take one tensor, the default first."""
    for key in sorted(loaded.signatures, key=lambda key: key != "serving_default"):
        function = loaded.signatures[key]
        inputs = function.structured_input_signature[1]
        if len(inputs) == 1:
            ((name, spec),) = inputs.items()
            yield Signature(function, name, spec)


def ask(signature: Signature, batch: Sequence[tf.Tensor]) -> list[Answer]:
    """An answer to each example of `batch`; of what fails alone, the reason."""
    import tensorflow as tf

    try:
        outputs = signature.function(**{signature.name: tf.stack(batch)})
        arrays = {key: value.numpy() for key, value in outputs.items()}
    except tf.errors.OpError as error:
        if len(batch) == 1:
            return [reason(str(error.message))]
        half = len(batch) // 2
        return [*ask(signature, batch[:half]), *ask(signature, batch[half:])]
    rows = [{key: array[row] for key, array in arrays.items()} for row in range(len(batch))]
    return [row if is_number(row) else NO_NUMBER for row in rows]


def is_number(answer: Mapping[str, np.ndarray]) -> bool:
    """Says whether no number of an answer is NaN or infinite."""
    import numpy as np

    return all(np.isfinite(values).all() for values in answer.values() if values.dtype.kind == "f")


def reason(message: str) -> str:
    """The part of `message`, of an op in a served graph, that is not about the graph."""
    lines = [line.strip() for line in message.splitlines()]
    reasons = [line for line in lines if line and not line.startswith(GRAPH_STATE)]
    return asserted(reasons[0]).rstrip(".") if reasons else message
