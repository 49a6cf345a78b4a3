"""Predicts with an exported SavedModel, as a server would."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft.devices import announce
from kft.errors import ConfigError, DataError
from kft.messages import asserted, one_line
from kft.saved_model.safety import SAVED_MODEL as TRUST
from kft.saved_model.safety import every_signature, refuse_unsafe
from kft.storage.digests import refuse_changed_export
from kft.storage.files import is_file, local_bytes
from kft.storage.run_files import SAVED_MODEL

if TYPE_CHECKING:
    import numpy as np

GRAPH_STATE = ("Graph execution error", "Detected at node", "<stack traces", "[[{{node")


@dataclass(frozen=True)
class Prediction:
    """What a model answers to one example.

    Attributes:
        name: The file, or the number of the example.
        answer: Its own row of each output of the model, such as ``probabilities``.
    """

    name: str
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class Predictions:
    """What a model answers, and what it could not read.

    Attributes:
        bad: The reason, by the name of the example.
    """

    found: tuple[Prediction, ...]
    bad: Mapping[str, str]


def predict(
    model: str | Path, examples: Sequence[str | Path | np.ndarray], trust: bool = False
) -> list[Prediction]:
    """Returns a prediction for each of `examples`: paths of files, or arrays of one example each.

    `model` is the directory of a run or of a SavedModel. A SavedModel is a program: one whose graph
    reaches Python, the network or files is run only on `trust`. An array goes to the signature of
    the model that takes its dtype and number of dimensions.

    Raises:
        ConfigError: There is no SavedModel, or it would need trust.
        DataError: Some cannot be read; names all of them.
    """
    predictions = predict_each(model, examples, trust)
    if predictions.bad:
        listed = "; ".join(f"{name} ({why})" for name, why in predictions.bad.items())
        raise DataError(
            f"{len(predictions.bad)} of {len(examples)} examples",
            f"cannot be read: {listed}",
            "Leave these examples out, or replace them",
        )
    return list(predictions.found)


def predict_each(
    model: str | Path, examples: Sequence[str | Path | np.ndarray], trust: bool = False
) -> Predictions:
    """As `predict`, but returns what could not be read beside the predictions."""
    found: list[Prediction] = []
    bad: dict[str, str] = {}
    for name, answer in answers_of(model, examples, trust):
        if isinstance(answer, str):
            bad[name] = answer
        else:
            found.append(answer)
    return Predictions(tuple(found), bad)


def answers_of(
    model: str | Path, examples: Sequence[str | Path | np.ndarray], trust: bool = False
) -> Iterator[tuple[str, Prediction | str]]:
    """Yields the name of each example and its prediction; a str says why there is none.

    One at a time: those of thousands of files and classes take gigabytes together.
    """
    import tensorflow as tf

    path = saved_model_of(Path(model))
    if not trust:
        fix = (
            f"If you trust its maker with this machine, add --trust {TRUST} (in Python, trust=True)"
        )
        refuse_unsafe(path, every_signature, str(path), fix, ConfigError)
    announce()
    served = loaded(path)
    for name, raw in named(examples):
        if isinstance(raw, str):
            yield name, raw
            continue
        try:
            answer = ask(served, raw)
        except tf.errors.OpError as error:
            yield name, reason(str(error.message))
            continue
        is_sound = is_number(answer)
        yield name, Prediction(name, answer) if is_sound else "the model's answer is no number"


def is_number(answer: Mapping[str, Any]) -> bool:
    """Says whether no number of an answer is NaN or infinite."""
    import numpy as np

    return all(np.isfinite(values).all() for values in answer.values() if values.dtype.kind == "f")


def loaded(path: Path) -> Any:
    """Returns the SavedModel at `path`, ready to be asked.

    Raises:
        ConfigError: TensorFlow cannot load it.
    """
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(path))
    except (OSError, ValueError, RuntimeError, KeyError, tf.errors.OpError) as error:
        problem = f"TensorFlow cannot load it: {one_line(error)}"
        raise ConfigError(
            str(path), problem, "Give a SavedModel that this TensorFlow can read"
        ) from error


def reason(message: str) -> str:
    """The part of `message`, of an op in a served graph, that is not about the graph."""
    lines = [line.strip() for line in message.splitlines()]
    reasons = [line for line in lines if line and not line.startswith(GRAPH_STATE)]
    return asserted(reasons[0]).rstrip(".") if reasons else message


def saved_model_of(path: Path) -> Path:
    """Returns the SavedModel at `path`, or in the run there.

    Raises:
        ConfigError: There is none, or that of a run has changed since it was verified.
    """
    if is_file(str(path / SAVED_MODEL / "saved_model.pb")):
        refuse_changed_export(path, path / SAVED_MODEL)
        return path / SAVED_MODEL
    if is_file(str(path / "saved_model.pb")):
        return path
    if not os.path.isdir(path):  # noqa: PTH112
        fix = "Give the directory of a run, or of a SavedModel"
        raise ConfigError(str(path), "is no directory", fix)
    raise ConfigError(
        str(path),
        "holds no SavedModel",
        f"Give a SavedModel, or a run that has one; `kft export {path}` makes it",
    )


def named(examples: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yields the name and the raw example; a str in its place says why it cannot be read."""
    import tensorflow as tf

    for number, example in enumerate(examples):
        if not isinstance(example, str | Path):
            yield str(number), tf.convert_to_tensor(example)
            continue
        try:
            yield str(example), tf.constant(local_bytes(example))
        except OSError as error:
            yield str(example), str(error.strerror)


def ask(served: Any, raw: Any) -> dict[str, Any]:
    """Returns the answer to one raw example, from the signature that takes its kind."""
    import tensorflow as tf

    for signature in sorted(served.signatures, key=lambda name: name != "serving_default"):
        function = served.signatures[signature]
        ((name, spec),) = function.structured_input_signature[1].items()
        if spec.dtype == raw.dtype and spec.shape[1:].is_compatible_with(raw.shape):
            answer = function(**{name: tf.expand_dims(raw, 0)})
            return {key: value[0].numpy() for key, value in answer.items()}
    raise DataError(
        "the example",
        f"has dtype {raw.dtype.name} and shape {raw.shape}, which no signature of the model takes",
        "Give files, or arrays as the model's signatures want them",
    )
