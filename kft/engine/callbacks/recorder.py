"""Validates after each epoch, and records the scores.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from kft.engine.callbacks.rollback import Rollback
from kft.engine.callbacks.tensorboard import TensorBoard
from kft.engine.callbacks.user_callback import UserCallbackAdapter, ValidationHooks
from kft.engine.loop import Evaluation
from kft.engine.phase_rate import rate_of
from kft.engine.random_state import ops_are_deterministic
from kft.phase import Phase
from kft.pipeline.input_wait import InputWait
from kft.progress import say
from kft.storage.atomic import write_text
from kft.storage.run_files import METRICS, TENSORBOARD

if TYPE_CHECKING:
    from kft.engine.context import TrainingContext
    from kft.engine.parts import TrainValidation


class Recorder(keras.callbacks.Callback):
    """Validates after each epoch, and writes ``metrics.jsonl`` and TensorBoard's scalars.

    Not the ``validation_data`` of `fit`, since the validated model may be another than the
    trained one: features of validation examples are cached even where training is augmented.

    Attributes:
        records: One for each epoch of the phase that counts, as lines of ``metrics.jsonl``.
        before: The validation scores before the first step of the phase, and the number of epochs
            that came before; empty until `begin`.
        validation_seconds: How long the last validation took.
        wait: Measures how long training waits for input; None on several devices, and on features
            that are kept, of which batches take no time.
    """

    def __init__(
        self,
        context: TrainingContext,
        phase: Phase,
        rollback: Rollback,
        user_callbacks: Sequence[UserCallbackAdapter],
    ) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []
        self.before: dict[str, Any] = {}
        self.wait: InputWait | None = None
        self.validation_seconds = 0.0
        self._phase = phase
        self._limits = context.limits
        self._rollback = rollback
        self._hooks = [ValidationHooks(adapter) for adapter in user_callbacks]
        self._metrics = context.directory / METRICS
        self._tensorboard = TensorBoard(context.directory / TENSORBOARD)

    def begin(self, parts: TrainValidation, validation: Evaluation, epoch: int) -> None:
        """Records `parts` from `epoch` on, counted from 0 over the run.

        The first time in the phase it validates at once, for `before`.
        """
        self._parts = parts
        # Where ops are to be deterministic, TensorFlow 2.21 reads no clock.
        unmeasured = parts.features_kept or ops_are_deterministic() or tf.distribute.has_strategy()
        self.wait = None if unmeasured else InputWait()
        self._validation = validation
        if not self.before:
            self.before = {"epoch": epoch, **self._validated([])}
            self._limits.begin(self.before)

    def _validated(self, callbacks: Sequence[ValidationHooks]) -> dict[str, float]:
        started = time.perf_counter()
        scores = self._validation.scores(callbacks)
        self.validation_seconds = time.perf_counter() - started
        return {f"val_{name}": score for name, score in scores.items()}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock, which stops before validation."""
        if self.wait:
            self.wait.taken()
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Records the epoch and adds ``val_…`` to its `logs`; epochs count from 1 over the run."""
        logs = logs if logs is not None else {}
        # The devices are done, since the metrics of the last step are here.
        seconds = time.perf_counter() - self._started
        waited = {"input_wait": round(self.wait.taken(), 4)} if self.wait else {}
        scores = self._validated(self._hooks)
        logs.update(scores)
        rate = rate_of(self.model.optimizer)
        record = {
            "phase": self._phase.name,
            "epoch": epoch + 1,
            **{name: float(score) for name, score in logs.items()},
            "learning_rate": float(rate(tf.maximum(self.model.optimizer.iterations - 1, 0))),
            "rollbacks": len(self._rollback.rollbacks),
            "seconds": round(seconds, 4),
            **waited,
            "examples_per_second": round(self._parts.train.split.size / seconds, 2),
        }
        self._limits.check(record)
        self.records.append(record)
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self._tensorboard.add(record)
        shown = ", ".join(f"{key[4:]} {score:.4f}" for key, score in scores.items())
        say(f"{self._phase.name}, epoch {epoch + 1}: validation {shown} ({seconds:.1f} s)")

    def leave_out(self, seconds: float) -> None:
        """Does not count `seconds` of the epoch at work, in which nothing was trained."""
        self._started += seconds

    def state(self) -> dict[str, Any]:
        """Returns the records of the phase so far, ready for JSON."""
        return {"before": self.before, "records": list(self.records)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`."""
        self.before, self.records = dict(state["before"]), list(state["records"])

    def rewrite_metrics(self, earlier: Iterable[Mapping[str, Any]]) -> None:
        """Writes ``metrics.jsonl`` anew: the records of `earlier` phases, then those of this one.

        A killed run may have added lines, or half of one, after its last state.
        """
        lines = (json.dumps(record) + "\n" for record in (*earlier, *self.records))
        write_text(self._metrics, "".join(lines))

    def close(self) -> None:
        """Closes TensorBoard's files."""
        self._tensorboard.close()
