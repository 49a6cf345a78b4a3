"""Makes a segment ready to be fitted: its parts, compiled with a new optimizer, and their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kft.data import Split
from kft.distribute.cluster import replicas
from kft.distribute.one_device import can_leave, on_first_device
from kft.engine.context import TrainingContext
from kft.engine.parts import TrainValidation, segment_epochs, train_validation_of
from kft.engine.segments import Segment
from kft.engine.step import optimizer_of, pretrained_values
from kft.errors import ConfigError
from kft.out_of_memory import out_of_memory_as_error
from kft.phase import Phase
from kft.pipeline.batches import Order
from kft.progress import say
from kft.task import Task

if TYPE_CHECKING:
    import keras


def before_training(context: TrainingContext, phases: Sequence[Phase]) -> TrainingContext:
    """Returns `context` with a copy of the pretrained weights, if one of `phases` pulls to them.

    Raises:
        ConfigError: A phase cannot train on so many devices.
    """
    if context.augment_on_device and replicas() > 1:
        raise ConfigError(
            where="distribute.augment_on",
            problem=f"is 'device', and {replicas()} devices share each batch",
            fix="Set it to 'cpu', or distribute.strategy to 'none'",
        )
    if context.jit is True and replicas() > 1:
        raise ConfigError(
            where="jit",
            problem=f"is true, and {replicas()} devices train together",
            fix="Set it to 'auto' or false, or distribute.strategy to 'none'",
        )
    for phase in phases:
        refuse_on_devices(phase, context.task, phase.batch_size or context.batch_size)
    pretrained = context.pretrained or pretrained_values(context.task, phases)
    # The same context where it can be, since caches know its training examples by identity.
    return replace(context, pretrained=pretrained) if pretrained else context


def refuse_on_devices(phase: Phase, task: Task, batch_size: int) -> None:
    """Raises ConfigError if `phase` cannot be shared out among as many devices as there are."""
    if batch_size < replicas():
        raise ConfigError(
            where=f"phase {phase.name!r}",
            problem=f"a batch of {batch_size} cannot be shared by {replicas()} devices",
            fix="Raise batch_size, or use fewer devices",
        )
    if replicas() > 1 and phase.accumulate_steps > 1 and follows_data(task):
        raise ConfigError(
            where=f"phase {phase.name!r}, accumulate_steps",
            problem="batch normalisation that follows the data needs a batch at once on several "
            "devices",
            fix="Set it to 1, or the batch_norm of the backbone to 'frozen' or 'inference'",
        )


def follows_data(task: Task) -> bool:
    """Whether the batch normalisation of the backbone follows the data that it trains on."""
    return task.backbone.batch_norm in ("train", "recalibrate")


def in_memory(context: TrainingContext, phase: Phase, number: int) -> AbstractContextManager[None]:
    """Turns running out of memory in a phase into an error with sizes that take less of it."""
    batch_size, path = phase.batch_size or context.batch_size, f"phases[{number}]"
    examples = context.task.input.counted(batch_size)
    shape = "×".join(map(str, context.task.input.spec.shape)) or "1"
    doing = f"to train {phase.name!r} on {examples} of {shape} at once"
    size, parts = smaller(batch_size, phase.accumulate_steps)
    if size < replicas():
        fix = "Unfreeze less, make the examples smaller, or set precision to 'mixed_bfloat16'"
        return out_of_memory_as_error(f"{path}.batch_size", doing, fix)
    fix = f"Set it to {size}"
    settings = {"batch_size": size}
    if replicas() == 1 or not follows_data(context.task):
        fix += f" and {path}.accumulate_steps to {parts}, which takes steps of as many examples"
        settings["accumulate_steps"] = parts
    words = tuple(f"phases.{number}.{key}={value}" for key, value in settings.items())
    return out_of_memory_as_error(f"{path}.batch_size", doing, fix, words)


def smaller(batch_size: int, parts: int) -> tuple[int, int]:
    """A smaller batch, in more parts of a step: half, or the next that divides it evenly.

    Of a large prime it is half, rounded up, which makes the step larger by an example.
    """
    divisor = next((d for d in (2, 3, 5, 7) if batch_size % d == 0), None)
    if divisor is None:
        return (batch_size + 1) // 2 if batch_size > 1 else 0, parts * 2
    return batch_size // divisor, parts * divisor


@dataclass(frozen=True, eq=False)
class PreparedSegment:
    """A segment that can be fitted.

    Attributes:
        parts: Compiled.
        optimizer: Of `parts.train`, with fresh slots.
        order: Of the training examples over the epochs of the segment.
        batch_size: Examples that are worked on at once.
    """

    parts: TrainValidation
    optimizer: keras.optimizers.Optimizer
    order: Order
    batch_size: int


@contextmanager
def prepare(
    context: TrainingContext, phase: Phase, segment: Segment, epoch: int
) -> Iterator[PreparedSegment]:
    """Yields `segment`, ready to begin with `epoch` of the run, counted from 0.

    On the first device alone, where that is faster than on all: a head on features that are kept is
    so small that devices would spend their time on adding gradients up.
    """
    batch_size = phase.batch_size or context.batch_size
    step_size = batch_size * phase.accumulate_steps
    parts = parts_for(context, phase, segment, epoch)
    with devices_for(context, phase, segment, parts):
        parts = stepping(parts, phase, batch_size)
        steps = steps_per_epoch(parts.train.split, step_size)
        optimizer = compile_for(phase, parts, steps, context)
        order = Order(context.seed, epoch, segment.epochs, step_size, parts.train.views)
        yield PreparedSegment(parts, optimizer, order, batch_size)


@contextmanager
def devices_for(
    context: TrainingContext, phase: Phase, segment: Segment, parts: TrainValidation
) -> Iterator[None]:
    """The devices that train `parts`: the first alone if the phase computes just the head."""
    model, count = context.task.model, replicas()
    is_head = not segment.stages and segment.epochs == phase.epochs
    if not is_head or not parts.features_kept or not can_leave():
        yield
        return
    say(f"{phase.name}: one device trains, of {count}: the head alone, on features that are kept")
    with on_first_device(parts.train.model.variables):
        yield
    # They know the variables of the first device.
    model.train_function = model.test_function = model.predict_function = None


def stepping(parts: TrainValidation, phase: Phase, batch_size: int) -> TrainValidation:
    """Returns `parts` with models for as many devices as there are.

    The one that trains works each batch off in parts, if `phase` accumulates. The one that is
    validated is never the same, since it has a loss of its own.
    """
    import keras

    from kft.distribute.replicated import replicated
    from kft.engine.accumulate import in_parts

    train, validation = parts.train, parts.validation
    if phase.accumulate_steps == 1:
        model = replicated(here(train.model))
    else:
        model = in_parts(train.model, -(-batch_size // replicas()))
    whole = validation.model
    scored = replicated(keras.Model(whole.input, whole.output, name=whole.name))
    return replace(
        parts, train=replace(train, model=model), validation=replace(validation, model=scored)
    )


def here(model: keras.Model) -> keras.Model:
    """Returns `model`, or one of its layers for the devices in scope, if it is for others."""
    import keras
    import tensorflow as tf

    if model.distribute_strategy is tf.distribute.get_strategy():
        return model
    return keras.Model(model.input, model.output, name=model.name)


def parts_for(
    context: TrainingContext, phase: Phase, segment: Segment, epoch: int
) -> TrainValidation:
    """Sets the backbone to train the stages of `segment` alone, and splits the model there."""
    context.task.backbone.train_only(segment.stages)
    epochs_ahead = segment_epochs(phase, segment, context.task.input, epoch - segment.first)
    return train_validation_of(context, epochs_ahead)


def steps_per_epoch(split: Split, size: int) -> int:
    """The number of steps of an epoch, of `size` examples each; the last may hold fewer."""
    return -(-split.size // size)


def compile_for(
    phase: Phase, parts: TrainValidation, steps: int, context: TrainingContext
) -> keras.optimizers.Optimizer:
    """Compiles what `parts` train and validate, and returns the new optimizer, with its slots."""
    from kft.engine.phase_rate import PhaseRate

    task = context.task
    learning_rate = phase.optimizer.learning_rate * context.rate_factor
    rate = PhaseRate(learning_rate, phase.schedule, phase.epochs, steps)
    optimizer = optimizer_of(phase, task, parts.train.model, rate, context.pretrained)
    training_loss = task.head.training_loss(task.target, context.train_split.labels)
    compile_with(parts.validation.model, task, "sgd", task.head.loss(task.target))
    compile_with(parts.train.model, task, optimizer, training_loss)
    if task.model is not parts.train.model:
        # Callbacks may save or score it.
        compile_with(task.model, task, optimizer, training_loss)
    # At once, since what goes back to an earlier state needs the slots that it had.
    parts.train.model.optimizer.build(parts.train.model.trainable_variables)
    return parts.train.model.optimizer


def compile_with(
    model: keras.Model,
    task: Task,
    optimizer: keras.optimizers.Optimizer | str,
    loss: keras.losses.Loss,
) -> None:
    """Compiles a `model` of `task`, with the metrics of its head."""
    with model.distribute_strategy.scope():
        model.compile(
            optimizer=optimizer, loss=loss, metrics=task.head.metrics(), jit_compile=False
        )
        build_metrics(model, len(task.target.names))


def build_metrics(model: keras.Model, outputs: int) -> None:
    """Makes the variables of the metrics of a compiled `model`.

    Those made within the first step would have TensorFlow trace that step twice; the same goes
    for the optimizer.
    """
    import numpy as np
    import tensorflow as tf

    answers = np.zeros((1, outputs), "float32")
    tf.distribute.get_strategy().run(lambda: model.compute_metrics(None, answers, answers))
    model.reset_metrics()
