"""The engine: runs the phases in order. Knows Keras; knows no modality."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from kft.engine.context import TrainingContext
from kft.engine.divergence import Diverged
from kft.engine.jit import is_compiled
from kft.engine.parts import ModelOnSplit
from kft.engine.prepare import before_training, in_memory, prepare, steps_per_epoch
from kft.engine.segments import Segment, segments_of
from kft.phase import Phase
from kft.pipeline.batches import Order, changed, training_batches, unchanged_batches

if TYPE_CHECKING:
    import keras

    from kft.engine.callbacks.phase_callbacks import PhaseCallbacks


@dataclass(frozen=True)
class PhaseResult:
    """What one phase did.

    Attributes:
        epochs: A record of each, as a line of ``metrics.jsonl``.
        best: The record with the best monitored score.
        before: The validation scores before the first step, as in a record; what the phase gained
            is its best less these.
        rollbacks: When and why it went back to the last good epoch, as in ``scores.json``.
        trained_parameters: How many numbers the phase could change.
        trained_stages: How many stages of the backbone.
        features_kept: Whether the frozen backbone ran over the data just once.
        features: Where they were kept, or why not, for people.
        seconds: Wall time.
    """

    name: str
    epochs: tuple[Mapping[str, Any], ...]
    best: Mapping[str, Any]
    before: Mapping[str, Any]
    rollbacks: tuple[Mapping[str, Any], ...]
    trained_parameters: int
    trained_stages: int
    features_kept: bool
    features: str
    seconds: float

    @property
    def input_wait(self) -> float | None:
        """The share of the time of its epochs that input was waited for; None if not measured."""
        measured = [record for record in self.epochs if "input_wait" in record]
        if not measured:
            return None
        waited = sum(float(each["input_wait"]) for each in measured)
        return waited / sum(float(each["seconds"]) for each in measured)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> PhaseResult:
        """Returns the result that `asdict` gave, as JSON brought it back."""
        lists = ("epochs", "rollbacks")
        fields: dict[str, Any] = {**state, **{name: tuple(state[name]) for name in lists}}
        return cls(**fields)


def train(context: TrainingContext, phases: Sequence[Phase]) -> tuple[PhaseResult, ...]:
    """Trains the task of `context` in place and returns one result for each phase.

    Those that come after the deadline of `context`, if it has one, are left out.

    Raises:
        ConfigError: A phase does not fit the backbone; found before anything is trained.
        TrainingError: The loss is not a number any more, or grows and grows; or memory runs out.
    """
    context.best.check_monitor(context.task.head)
    planned = [segments_of(context.task, phase, number) for number, phase in enumerate(phases)]
    context = before_training(context, phases)
    results = resumed(context)
    optimizer: keras.optimizers.Optimizer | None = None
    for number in range(len(results), len(phases)):
        if results and not time_is_left(context):
            break
        if results and any(segment.stages for segment in planned[number]):
            context.best.begin_fine_tuning()
        with in_memory(context, phases[number], number):
            result, optimizer = train_phase(
                context, phases[number], planned[number], results, optimizer
            )
        results.append(result)
    return tuple(results)


def time_is_left(context: TrainingContext) -> bool:
    """Says whether another phase can be made ready before training has to end."""
    deadline = context.deadline
    if deadline is not None and not deadline.leaves(deadline.preparing):
        deadline.reached = True
    return deadline is None or not deadline.reached


def resumed(context: TrainingContext) -> list[PhaseResult]:
    """Restores a killed run and gives the results of its finished phases; else no results."""
    found = context.state.found if context.state else None
    if found is None:
        return []
    from kft.engine.callbacks.checkpoint import restore_weights

    restore_weights(context.task.model, found)
    context.best.restore(found.state["best"], found.arrays)
    return [PhaseResult.from_json(state) for state in found.state["phases"]]


def train_phase(
    context: TrainingContext,
    phase: Phase,
    segments: Sequence[Segment],
    done: Sequence[PhaseResult],
    optimizer: keras.optimizers.Optimizer | None,
) -> tuple[PhaseResult, keras.optimizers.Optimizer]:
    """Runs the phase after those that are `done`, the last of them with `optimizer`.

    Returns what it did, and its own optimizer.
    """
    from kft.engine.callbacks.phase_callbacks import PhaseCallbacks

    first_epoch = done[-1].epochs[-1]["epoch"] if done else 0
    callbacks = PhaseCallbacks(context, phase, first_epoch)
    state = context.state
    if state and state.found and state.found.phase == len(done):
        callbacks.resume_from(state.found)
    features = list(callbacks.progress.get("features", ()))
    for number in range(callbacks.progress.get("segment", 0), len(segments)):
        where = {"phases": [asdict(each) for each in done], "segment": number}
        callbacks.progress = {**where, "features": list(features)}
        optimizer, cached = train_segment(context, phase, segments[number], callbacks, optimizer)
        features.append(cached)
        if callbacks.stopped:
            break
    callbacks.close()
    records = callbacks.recorder.records
    result = PhaseResult(
        name=phase.name,
        epochs=tuple(records),
        best=context.best.among(records),
        before=callbacks.recorder.before,
        rollbacks=tuple(callbacks.rollback.rollbacks),
        trained_parameters=parameters(context.task.model),
        trained_stages=len(segments[number].stages),
        features_kept=all(cached for cached, _ in features),
        features="; then ".join(dict.fromkeys(message for _, message in features)),
        seconds=callbacks.seconds,
    )
    return result, optimizer


def train_segment(
    context: TrainingContext,
    phase: Phase,
    segment: Segment,
    callbacks: PhaseCallbacks,
    optimizer: keras.optimizers.Optimizer | None,
) -> tuple[keras.optimizers.Optimizer, tuple[bool, str]]:
    """Trains one segment, going back to the last good epoch wherever training diverges.

    It takes over from the `optimizer` of the segment before. Returns its own, whether the features
    of training were kept, and where.
    """
    from kft.engine.loop import Evaluation

    started = time.perf_counter()
    epoch = callbacks.first_epoch + segment.first
    end = epoch + segment.epochs
    with prepare(context, phase, segment, epoch) as ready:
        take_over(ready.optimizer, phase, segment, optimizer)
        context.best.copies.begin(context.task.model)
        parts, target = ready.parts, context.task.target
        of = parts.validation
        validation = Evaluation(of.model, of.split, target, ready.batch_size)
        preparing = time.perf_counter() - started
        epoch = callbacks.begin(parts, validation, epoch, preparing)
        while epoch < end:
            order = replace(ready.order, first_epoch=epoch, epochs=end - epoch)
            try:
                fit_part(context, phase, parts.train, order, callbacks)
            except Diverged as diverged:
                epoch = callbacks.rollback.go_back(diverged)
            else:
                break
    return ready.optimizer, (parts.features_kept, parts.features)


def take_over(
    new: keras.optimizers.Optimizer,
    phase: Phase,
    segment: Segment,
    old: keras.optimizers.Optimizer | None,
) -> None:
    """Gives a `new` optimizer what it is to have of the state of the `old` one."""
    from kft.engine.optimizer_state import resume_from, transfer_state

    if old is not None and segment.first:
        resume_from(old, new)
    elif old is not None and phase.carry_optimizer:
        transfer_state(old, new)


def fit_part(
    context: TrainingContext,
    phase: Phase,
    part: ModelOnSplit,
    order: Order,
    callbacks: PhaseCallbacks,
) -> None:
    """Trains the model of `part` for the epochs of `order`.

    Raises:
        Diverged: An epoch went wrong; its steps have been taken all the same.
    """
    from kft.engine.loop import Training

    target, change = context.task.target, None
    if context.augment_on_device and (part.augment or part.mix):
        batches = unchanged_batches(part.split, target, order)
        change = changed(part.augment, part.mix, order.seed)
    else:
        batches = training_batches(part.split, target, order, part.augment, part.mix)
    wait = callbacks.recorder.wait
    measured = batches if wait is None else wait.measured(batches)
    steps = steps_per_epoch(part.split, order.batch_size)
    jit = is_compiled(context.jit, part.model, batches, order.batch_size, steps * phase.epochs)
    training = Training(part.model, measured, steps, callbacks.callbacks, change, jit)
    training.run(range(order.first_epoch, order.first_epoch + order.epochs))


def parameters(model: keras.Model) -> int:
    """The number of trainable parameters of `model`."""
    return sum(int(variable.value.shape.num_elements()) for variable in model.trainable_variables)
