"""How long each phase will take on this machine and how much memory, from a few measured steps."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft.cache.decode import decode_all
from kft.cache.feature_cache import FeatureCache
from kft.cache.inference import inference_of
from kft.config.run_config import RunConfig
from kft.data import Split, Splits
from kft.engine.best import Best
from kft.engine.context import TrainingContext
from kft.engine.prepare import PreparedSegment, before_training, in_memory, prepare, steps_per_epoch
from kft.engine.segments import segments_of
from kft.phase import Phase
from kft.pipeline.batches import evaluation_batches, training_batches
from kft.progress import say
from kft.workflows.setup import build_task, with_phases

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# After the first step, which traces the graph.
STEPS = 2


@dataclass(frozen=True)
class Estimate:
    """What one phase will take, reading the examples and tracing the graph not counted.

    Attributes:
        seconds: Of the whole phase, if none of its epochs is saved by early stopping.
        step: Seconds of one optimizer step.
        tracing: Seconds of the first step besides, which traces the graph.
        memory: Bytes that the process, or the first GPU if there is one, had at most so far.
    """

    name: str
    seconds: float
    step: float
    tracing: float
    memory: int

    def in_json(self) -> dict[str, Any]:
        """Returns all of it, ready for JSON."""
        return asdict(self)


def estimates(config: RunConfig, splits: Splits) -> Iterator[Estimate]:
    """Yields what each phase of `config` takes, measured on fresh weights, as far as it fits.

    All examples of `splits` can be read.

    Raises:
        OutOfMemoryError: A step of the next one does not fit into memory.
    """
    task = build_task(config, splits.target, splits.input)
    config = with_phases(config, splits, task.backbone)
    largest = max(
        (phase.batch_size or config.data.batch_size) * phase.accumulate_steps
        for phase in config.phases
    )
    small = splits.with_splits(
        {name: few(split, splits, largest) for name, split in splits.by_name().items()}, ()
    )
    mode = config.cache if config.cache == "off" else "memory"  # which writes no file
    with tempfile.TemporaryDirectory() as directory:
        policy = replace(config.cache_policy, mode=mode)
        context = TrainingContext(
            task=task,
            splits=small,
            directory=Path(directory),
            best=Best(task.model, config.monitored),
            seed=config.seed,
            batch_size=config.data.batch_size,
            feature_cache=FeatureCache(policy, config.seed, task.backbone.name),
            jit=config.jit,
            augment_on_device=config.distribute.augments_on_device,
        )
        context = before_training(context, config.phases)
        epoch = 0
        for number, phase in enumerate(config.phases):
            say(f"Measuring {phase.name!r}")
            segment = segments_of(task, phase, number)[-1]
            with (
                in_memory(context, phase, number),
                prepare(context, phase, segment, epoch) as ready,
            ):
                measured = estimate(context, phase, ready, splits)
            yield measured
            epoch += phase.epochs


def few(split: Split, splits: Splits, count: int) -> Split:
    """Returns `count` decoded examples of `split`, the same ones again if it has fewer."""
    size = min(count, split.size)
    decoded = decode_all(split.take(range(size)), splits.input, "Reading a few examples").decoded
    return decoded.take([number % size for number in range(count)])


def estimate(
    context: TrainingContext, phase: Phase, ready: PreparedSegment, splits: Splits
) -> Estimate:
    """Seconds and memory that `phase` takes on the whole `splits`, measured on a few examples."""
    train, validation = ready.parts.train, ready.parts.validation
    target = context.task.target
    batches = training_batches(train.split, target, ready.order, train.augment, train.mix)
    batch = next(iter(batches))
    started = clock()
    train_step(train.model, batch)
    first = clock() - started
    step = timed(lambda: train_step(train.model, batch))
    tried = next(iter(evaluation_batches(validation.split, target, ready.batch_size)))
    trial = timed(lambda: test_step(validation.model, tried))
    once = 0
    if ready.parts.features_kept:
        once += splits.train.size * len(set(train.views))
    if validation.split is not context.splits.validation:  # but the features of it
        once += splits.validation.size
    steps = steps_per_epoch(splits.train, ready.order.batch_size)
    trials = steps_per_epoch(splits.validation, ready.batch_size)
    seconds = phase.epochs * (steps * step + trials * trial)
    seconds += once * per_example(context.task.backbone.model, context.splits.train) if once else 0
    return Estimate(phase.name, seconds, step, max(first - step, 0.0), peak_memory())


def train_step(model: keras.Model, batch: Any) -> None:
    """Takes a step on a `batch` as `fit` has it: a share of it for each device.

    Not by ``train_on_batch``, which takes the batch of one.
    """
    model.make_train_function()
    model.train_function(iter([batch]))


def test_step(model: keras.Model, batch: Any) -> None:
    """Scores a `batch` as `evaluate` has it."""
    model.make_test_function()
    model.test_function(iter([batch]))


def per_example(model: keras.Model, split: Split) -> float:
    """Returns the seconds that a frozen `model` takes for one example."""
    import tensorflow as tf

    inputs: tf.Tensor = split.fetch(tf.range(split.size, dtype=tf.int64))
    infer = inference_of(model)
    # Each device of the pass that it stands for has as many examples.
    devices = int(model.distribute_strategy.num_replicas_in_sync)
    return timed(lambda: infer(inputs)) / (split.size * devices)


def clock() -> float:
    """Seconds on a clock, read once the devices of this process have done their work.

    A call returns when the work of a GPU is queued. For a process that works alone: TensorFlow 2.21
    cannot wait for the devices of other workers.
    """
    import tensorflow as tf

    tf.test.experimental.sync_devices()
    return time.perf_counter()


def timed(action: Callable[[], object]) -> float:
    """Returns the seconds that `action` takes, the best of some after the first."""
    action()
    taken = []
    for _ in range(STEPS):
        started = clock()
        action()
        taken.append(clock() - started)
    return min(taken)


def peak_memory() -> int:
    """The peak memory of the first GPU, or else of this process, in bytes; 0 if unknown."""
    import tensorflow as tf

    if tf.config.list_logical_devices("GPU"):
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    try:
        import resource
    except ImportError:  # Windows has none.
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
