"""The engine: runs the phases in order. Knows Keras; knows no modality."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kft.backbone import Stage
from kft.batches import Order, evaluation_batches, training_batches
from kft.class_weights import weigh
from kft.data import Splits
from kft.errors import ConfigError
from kft.parts import Parts, Training, parts_of
from kft.phase import Phase
from kft.task import Task

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class PhaseResult:
    """What one phase did.

    Attributes:
        epochs: A record of each, as a line of ``metrics.jsonl``.
        best: The record with the best monitored score.
        trained_parameters: How many numbers the phase could change.
        trained_stages: How many stages of the backbone.
        features_kept: Whether the frozen backbone ran over the data just once.
        seconds: Wall time.
    """

    name: str
    epochs: tuple[Mapping[str, Any], ...]
    best: Mapping[str, Any]
    trained_parameters: int
    trained_stages: int
    features_kept: bool
    seconds: float


def train(
    task: Task, splits: Splits, phases: Sequence[Phase], training: Training
) -> tuple[PhaseResult, ...]:
    """Trains `task` in place on decoded `splits` and returns one result for each phase.

    Raises:
        ConfigError: A phase does not fit the backbone; found before anything is trained.
        TrainingError: The loss is not a number any more.
    """
    training.best.check_monitor(["loss", *(metric.name for metric in task.head.metrics())])
    chosen = [chosen_stages(task, phase, number) for number, phase in enumerate(phases)]
    weighted = weigh(splits.train, splits.target, training.class_weights)
    splits = replace(splits, train=weighted)
    results: list[PhaseResult] = []
    parts = None
    for phase, stages in zip(phases, chosen, strict=True):
        task.backbone.train_only(stages)
        if stages or parts is None or parts.stages:
            parts = parts_of(task, splits, stages)
        first_epoch = sum(len(result.epochs) for result in results)
        results.append(train_phase(task, phase, parts, first_epoch, training))
    return tuple(results)


def chosen_stages(task: Task, phase: Phase, number: int) -> Sequence[Stage]:
    """Returns the stages that phase `number` trains, or says where the config asks too much."""
    try:
        return phase.unfreeze.choose(task.backbone)
    except ConfigError as error:
        where = f"phases[{number}].unfreeze.{error.where}"
        raise ConfigError(where, error.problem, error.fix) from error


def train_phase(
    task: Task, phase: Phase, parts: Parts, first_epoch: int, training: Training
) -> PhaseResult:
    """Runs one phase: compiles, fits, and records every epoch."""
    from kft.watch import watchers

    started = time.perf_counter()
    batch_size = phase.batch_size or training.batch_size
    steps = -(-parts.train.split.size // batch_size)
    model = parts.train.model
    compile_for(phase, task, parts, steps)
    order = Order(training.seed, first_epoch, phase.epochs, batch_size)
    batches = training_batches(parts.train.split, task.target, order, parts.train.augment)
    validation = evaluation_batches(parts.validation.split, task.target, batch_size)
    recorder, callbacks = watchers(task, phase, parts, validation, training)
    model.fit(
        batches,
        initial_epoch=first_epoch,
        epochs=first_epoch + phase.epochs,
        steps_per_epoch=steps,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    return PhaseResult(
        name=phase.name,
        epochs=tuple(recorder.records),
        best=training.best.among(recorder.records),
        trained_parameters=parameters(task.model),
        trained_stages=len(parts.stages),
        features_kept=parts.features_kept,
        seconds=time.perf_counter() - started,
    )


def compile_for(phase: Phase, task: Task, parts: Parts, steps: int) -> None:
    """Compiles what `parts` train and validate, with a new optimizer."""
    from kft.phase_rate import PhaseRate

    rate = PhaseRate(phase.optimizer.learning_rate, phase.schedule, phase.epochs, steps)
    optimizer = phase.optimizer.build(rate, phase.clip_norm)
    # Decaying a bias or the gain of a normalisation shrinks nothing that can overfit.
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in parts.train.model.trainable_variables if len(v.shape) < 2]
    )
    for model in {id(part.model): part.model for part in (parts.train, parts.validation)}.values():
        model.compile(
            optimizer=optimizer if model is parts.train.model else "sgd",
            loss=task.head.loss(),
            metrics=task.head.metrics(),
            jit_compile=False,
        )


def parameters(model: keras.Model) -> int:
    """Returns how many numbers of `model` are trainable."""
    return sum(int(variable.value.shape.num_elements()) for variable in model.trainable_variables)
