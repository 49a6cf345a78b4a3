"""The engine: runs the phases in order. Knows Keras; knows no modality."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kft.batches import Order, evaluation_batches, training_batches
from kft.class_weights import weigh
from kft.data import Split, Splits
from kft.divergence import Diverged, Limits
from kft.keep import Keeper
from kft.parts import Part, Parts, Training, ahead_of, parts_of
from kft.phase import Phase
from kft.precision import loss_scaled
from kft.segments import Segment, segments_of
from kft.task import Task
from kft.updates import adapt, pretrained_values

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
class Job:
    """What all phases share: what is trained, on what, and how."""

    task: Task
    splits: Splits
    training: Training
    limits: Limits
    keeper: Keeper


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
    weighted = weigh(splits.train, splits.target, training.class_weights)
    training = replace(training, pretrained=pretrained_values(task, phases))
    keeper = Keeper(training.keeping, training.seed, task.backbone.name)
    job = Job(task, replace(splits, train=weighted), training, Limits(), keeper)
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
    parts = parts_for(job, phase, segment, epoch)
    live = accumulating(parts, phase, job.training)
    batch_size = phase.batch_size or job.training.batch_size
    step_size = batch_size * phase.accumulate_steps
    steps = steps_per_epoch(parts.train.split, step_size)
    optimizer = compile_for(phase, job.task, live, steps, job.training)
    take_over(optimizer, phase, segment, reached)
    validation = evaluation_batches(parts.validation.split, job.task.target, batch_size)
    watch.begin(live, validation, epoch)
    while epoch < end:
        order = Order(job.training.seed, epoch, end - epoch, step_size, parts.train.views)
        try:
            fit(job.task, live.train, order, watch.callbacks)
        except Diverged as found:
            epoch = watch.last_good.go_back(found)
        else:
            break
    epoch = watch.recorder.records[-1]["epoch"]
    return Reached(epoch, optimizer, parts.features_kept, parts.features)


def accumulating(parts: Parts, phase: Phase, training: Training) -> Parts:
    """Returns `parts` with a model that works each batch off in parts, if `phase` accumulates."""
    from kft.accumulate import in_parts

    if phase.accumulate_steps == 1:
        return parts
    model = in_parts(parts.train.model, phase.batch_size or training.batch_size)
    return replace(parts, train=replace(parts.train, model=model))


def take_over(
    optimizer: keras.optimizers.Optimizer, phase: Phase, segment: Segment, reached: Reached | None
) -> None:
    """Hands what is to be kept of the optimizer before on to a new one."""
    from kft.slots import go_on, hand_on

    if reached and segment.first:
        go_on(reached.optimizer, optimizer)
    elif reached and phase.carry_optimizer:
        hand_on(reached.optimizer, optimizer)


def parts_for(job: Job, phase: Phase, segment: Segment, epoch: int) -> Parts:
    """Returns what `segment` trains and validates, the backbone set to train its stages alone."""
    job.task.backbone.train_only(segment.stages)
    ahead = ahead_of(phase, segment, job.task.input, epoch - segment.first)
    return parts_of(job.task, job.splits, segment.stages, job.keeper, ahead)


def fit(task: Task, part: Part, order: Order, callbacks: Sequence[Any]) -> None:
    """Trains the model of `part` for the epochs of `order`.

    Raises:
        Diverged: An epoch went wrong; its steps have been taken all the same.
    """
    part.model.fit(
        training_batches(part.split, task.target, order, part.augment, part.mix),
        initial_epoch=order.first_epoch,
        epochs=order.first_epoch + order.epochs,
        steps_per_epoch=steps_per_epoch(part.split, order.batch_size),
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )


def steps_per_epoch(split: Split, size: int) -> int:
    """Returns how many steps an epoch takes, of `size` examples each; the last may hold fewer."""
    return -(-split.size // size)


def compile_for(
    phase: Phase, task: Task, parts: Parts, steps: int, training: Training
) -> keras.optimizers.Optimizer:
    """Compiles what `parts` train and validate, and returns the new optimizer, with its slots."""
    from kft.phase_rate import PhaseRate

    rate = PhaseRate(phase.optimizer.learning_rate, phase.schedule, phase.epochs, steps)
    optimizer = phase.optimizer.build(rate, phase.clip_norm)
    adapt(optimizer, phase, task, training.pretrained)
    optimizer = loss_scaled(optimizer, parts.train.model)
    # The whole model too, where it is not what is trained: callbacks may save or score it.
    models = (parts.train.model, task.model, parts.validation.model)
    for model in {id(model): model for model in models}.values():
        model.compile(
            optimizer=optimizer if model in models[:2] else "sgd",
            loss=task.head.loss(),
            metrics=task.head.metrics(),
            jit_compile=False,
        )
        build_metrics(model, len(task.target.names))
    # At once, since what goes back to an earlier state needs the slots that it had.
    parts.train.model.optimizer.build(parts.train.model.trainable_variables)
    return parts.train.model.optimizer


def build_metrics(model: keras.Model, outputs: int) -> None:
    """Makes the variables of the metrics of a compiled `model`.

    Those made within the first step would have TensorFlow trace that step twice; the same goes
    for the optimizer.
    """
    import numpy as np

    answers = np.zeros((1, outputs), "float32")
    model.compute_metrics(None, answers, answers, sample_weight=None)
    model.reset_metrics()


def parameters(model: keras.Model) -> int:
    """Returns how many numbers of `model` are trainable."""
    return sum(int(variable.value.shape.num_elements()) for variable in model.trainable_variables)
