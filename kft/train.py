"""The engine: runs the phases in order. Knows Keras; knows no modality."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kft.batches import Order, evaluation, training_batches
from kft.data import Splits, Target
from kft.divergence import Diverged
from kft.parts import Part, Training
from kft.phase import Phase
from kft.prepare import Job, job_of, prepare, steps_per_epoch
from kft.segments import Segment, segments_of
from kft.task import Task

if TYPE_CHECKING:
    import keras

    from kft.watch import Watch


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


@dataclass(frozen=True, eq=False)
class Reached:
    """Where training stands, for the next segment to go on from.

    Attributes:
        epoch: Number of the next epoch, counted from 0 over the run.
        optimizer: That trained last.
        features_kept: As `Parts`, which must not be held themselves: the next ones need the room.
        features: Likewise.
    """

    epoch: int
    optimizer: keras.optimizers.Optimizer
    features_kept: bool
    features: str


def train(
    task: Task, splits: Splits, phases: Sequence[Phase], training: Training
) -> tuple[PhaseResult, ...]:
    """Trains `task` in place on decoded `splits` and returns one result for each phase.

    Raises:
        ConfigError: A phase does not fit the backbone; found before anything is trained.
        TrainingError: The loss is not a number any more, or grows and grows.
    """
    training.best.check_monitor(task.head)
    planned = [segments_of(task, phase, number) for number, phase in enumerate(phases)]
    job = job_of(task, splits, phases, training)
    results: list[PhaseResult] = []
    reached: Reached | None = None
    for phase, segments in zip(phases, planned, strict=True):
        if results and any(segment.stages for segment in segments):
            training.best.begin_fine_tuning()
        result, reached = train_phase(job, phase, segments, reached)
        results.append(result)
    return tuple(results)


def train_phase(
    job: Job, phase: Phase, segments: Sequence[Segment], reached: Reached | None
) -> tuple[PhaseResult, Reached]:
    """Runs one phase, segment by segment; returns what it did and where training stands."""
    from kft.watch import Watch

    started = time.perf_counter()
    first_epoch = reached.epoch if reached else 0
    watch = Watch(job.task, phase, job.training, job.limits, first_epoch)
    trained: list[Reached] = []
    for segment in segments:
        reached = train_segment(job, phase, segment, reached, watch)
        trained.append(reached)
        if watch.stopped:
            break
    watch.close()
    records = watch.recorder.records
    result = PhaseResult(
        name=phase.name,
        epochs=tuple(records),
        best=job.training.best.among(records),
        before=watch.recorder.before,
        rollbacks=tuple(watch.last_good.rollbacks),
        trained_parameters=parameters(job.task.model),
        trained_stages=len(segment.stages),
        features_kept=all(each.features_kept for each in trained),
        features="; then ".join(dict.fromkeys(each.features for each in trained)),
        seconds=time.perf_counter() - started,
    )
    return result, trained[-1]


def train_segment(
    job: Job, phase: Phase, segment: Segment, reached: Reached | None, watch: Watch
) -> Reached:
    """Trains one segment, going back to the last good epoch wherever training diverges."""
    epoch = reached.epoch if reached else 0
    end = epoch + segment.epochs
    ready = prepare(job, phase, segment, epoch)
    take_over(ready.optimizer, phase, segment, reached)
    parts, target = ready.parts, job.task.target
    validation = evaluation(parts.validation.split, target, ready.batch_size)
    watch.begin(parts, validation, epoch)
    while epoch < end:
        order = replace(ready.order, first_epoch=epoch, epochs=end - epoch)
        try:
            fit(parts.train, target, order, watch.callbacks)
        except Diverged as found:
            epoch = watch.last_good.go_back(found)
        else:
            break
    epoch = watch.recorder.records[-1]["epoch"]
    return Reached(epoch, ready.optimizer, parts.features_kept, parts.features)


def take_over(
    optimizer: keras.optimizers.Optimizer, phase: Phase, segment: Segment, reached: Reached | None
) -> None:
    """Hands what is to be kept of the optimizer before on to a new one."""
    from kft.slots import go_on, hand_on

    if reached and segment.first:
        go_on(reached.optimizer, optimizer)
    elif reached and phase.carry_optimizer:
        hand_on(reached.optimizer, optimizer)


def fit(part: Part, target: Target, order: Order, callbacks: Sequence[Any]) -> None:
    """Trains the model of `part` for the epochs of `order`.

    Raises:
        Diverged: An epoch went wrong; its steps have been taken all the same.
    """
    part.model.fit(
        training_batches(part.split, target, order, part.augment, part.mix),
        initial_epoch=order.first_epoch,
        epochs=order.first_epoch + order.epochs,
        steps_per_epoch=steps_per_epoch(part.split, order.batch_size),
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )


def parameters(model: keras.Model) -> int:
    """Returns how many numbers of `model` are trainable."""
    return sum(int(variable.value.shape.num_elements()) for variable in model.trainable_variables)
