"""Predicts with an exported SavedModel, as a server would."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kft.devices import announce
from kft.errors import ConfigError, DataError
from kft.messages import clauses
from kft.saved_model.safety import SAVED_MODEL as TRUST
from kft.saved_model.safety import every_signature, refuse_unsafe
from kft.saved_model.served import Served
from kft.sources.unlabelled import Finder, Unlabelled, Unread
from kft.storage.digests import refuse_changed_export
from kft.storage.files import is_file
from kft.storage.run_files import CONFIG, SAVED_MODEL

if TYPE_CHECKING:
    import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")

# Examples of one call of the model. More are no faster, and take memory.
BATCH = 32
# Of raw examples that are in memory for one call, but for a single one that is larger.
BATCH_BYTES = 2**26
# Calls of the model at once: while one decodes, another computes.
CALLS = max(2, min(4, os.cpu_count() or 1))
# Examples that an error names.
NAMED = 20


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answers to one example.

    Attributes:
        name: The file, or the number of the example.
        answer: Its own row of each output of the model, such as ``probabilities``.
        folder: The folder that it lies in, from the folder that was named, such as ``cats``; None
            if none was, or if it lies directly there.
    """

    name: str
    answer: Mapping[str, Any]
    folder: str | None = None


Answered = Prediction | Unread


class Read(NamedTuple):
    """An example that has been read.

    Attributes:
        raw: What the model takes: the content of a file, or an array.
    """

    example: Unlabelled
    raw: Any


def predict(
    model: str | Path,
    examples: Iterable[str | Path | np.ndarray],
    trust: bool = False,
    column: str | None = None,
) -> list[Prediction]:
    """Returns the predictions of `predict_each`, all of them.

    Raises:
        ConfigError: There is no SavedModel, or it would need trust.
        DataError: Some examples cannot be read; names them.
    """
    answered = [*predict_each(model, examples, trust, column)]
    unread = [each for each in answered if isinstance(each, Unread)]
    if unread:
        reasons = [f"{each.name} ({each.reason})" for each in unread]
        raise DataError(
            f"{len(unread)} of {len(answered)} examples",
            f"cannot be read: {clauses(reasons, NAMED)}",
            "Leave these examples out, or replace them; kft.predict_each passes them over",
        )
    return [each for each in answered if isinstance(each, Prediction)]


def predict_each(
    model: str | Path,
    examples: Iterable[str | Path | np.ndarray],
    trust: bool = False,
    column: str | None = None,
) -> Iterator[Answered]:
    """Yields a prediction for each of `examples` in their order, or why there is none.

    An example is the path of a file, or an array. The path of a folder stands for all files below
    it that the run's input reads, a pattern such as ``new/*.jpg`` for those that match, and the
    path of a table for its lines: those that `column` names, or the column that the run's own table
    has. A few batches are in memory at a time, whatever the number of examples.

    `model` is the directory of a run or of a SavedModel. A SavedModel is a program: one whose graph
    reaches Python, the network or files is run only on `trust`. An array goes to the signature of
    the model that takes its dtype and number of dimensions.

    Raises:
        ConfigError: There is no SavedModel, or it would need trust.
        DataError: A table cannot be read, or no signature takes an array.

    Example:
        >>> import kft
        >>> for each in kft.predict_each("runs/flowers", ["new/"]):  # doctest: +SKIP
        ...     if isinstance(each, kft.Unread):
        ...         print(each.name, each.reason)
        ...     else:
        ...         print(each.name, each.answer["classes"][0].decode())
    """
    predictor = Predictor(model, trust, column)
    yield from predictor.answered(predictor.found(examples))


class Predictor:
    """An exported model, and where it finds its examples: see `predict_each`."""

    def __init__(self, model: str | Path, trust: bool = False, column: str | None = None) -> None:
        path = saved_model_of(Path(model))
        self._finder = Finder(data_settings(Path(model)), column)
        if not trust:
            fix = (
                f"If you trust its maker with this machine, add --trust {TRUST} "
                "(in Python, trust=True)"
            )
            refuse_unsafe(path, every_signature, str(path), fix, ConfigError)
        announce()
        self._served = Served(path)

    def found(self, examples: Iterable[str | Path | np.ndarray]) -> Iterator[Unlabelled | Unread]:
        """Yields the single examples that `examples` stand for."""
        for number, example in enumerate(examples):
            if isinstance(example, str | Path):
                yield from self._finder.find(example)
            else:
                yield Unlabelled(str(number), held=example)

    def answered(self, found: Iterable[Unlabelled | Unread]) -> Iterator[Answered]:
        """Yields a prediction for each of the `found` examples in their order, or why not."""
        for batch in in_order(self._of_batch, batches(found, BATCH), CALLS):
            yield from batch

    def _of_batch(self, batch: list[Unlabelled | Unread]) -> list[Answered]:
        """What is answered to a batch, of which no more is in memory than `BATCH_BYTES`."""
        parts = in_parts(map(self._read, batch))
        return [answered for part in parts for answered in self._of_part(part)]

    def _read(self, example: Unlabelled | Unread) -> Read | Unread:
        """The example with what the model takes of it, or why it cannot be read."""
        if isinstance(example, Unread):
            return example
        try:
            return Read(example, self._finder.served(example))
        except OSError as error:
            return Unread(example.name, error.strerror or str(error))
        except ValueError as error:
            return Unread(example.name, str(error))

    def _of_part(self, part: Sequence[Read | Unread]) -> Iterator[Answered]:
        """Yields what is answered to examples that have been read."""
        import tensorflow as tf

        asked = [tf.convert_to_tensor(each.raw) for each in part if isinstance(each, Read)]
        answers = iter(self._served.answers(asked))
        for each in part:
            if isinstance(each, Unread):
                yield each
                continue
            example, answer = each.example, next(answers)
            if isinstance(answer, str):
                yield Unread(example.name, answer)
            else:
                yield Prediction(example.name, answer, example.folder)


def in_parts(batch: Iterable[Read | Unread]) -> Iterator[list[Read | Unread]]:
    """Yields examples as they are read, up to `BATCH_BYTES` of files at a time."""
    part: list[Read | Unread] = []
    size = 0
    for each in batch:
        part.append(each)
        size += len(each.raw) if isinstance(each, Read) and isinstance(each.raw, bytes) else 0
        if size >= BATCH_BYTES:
            yield part
            part, size = [], 0
    yield part


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields `items` in lists of `size`; the last may be shorter."""
    waiting = iter(items)
    while batch := [*islice(waiting, size)]:
        yield batch


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], at_once: int
) -> Iterator[Result]:
    """Yields the result of `function` for each of `items`, computing some ahead in threads."""
    with ThreadPoolExecutor(at_once) as pool:
        running: deque[Future[Result]] = deque()
        try:
            for item in items:
                running.append(pool.submit(function, item))
                if len(running) > at_once:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def data_settings(model: Path) -> Mapping[str, Any]:
    """The ``data`` section of the config of the run at `model`; empty if there is none."""
    if not is_file(str(model / CONFIG)):
        return {}
    try:
        settings = json.loads((model / CONFIG).read_text(encoding="utf-8"))
        return dict(settings["data"])
    except (ValueError, KeyError, TypeError) as error:
        fix = "Give the SavedModel in it, or the run as it was written"
        raise ConfigError(str(model / CONFIG), "is no config of a run", fix) from error


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
