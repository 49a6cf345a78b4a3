"""Finds a learning rate for a phase of a run, and keeps nothing of what it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from kft.cache.decode import read
from kft.cache.feature_cache import FeatureCache
from kft.cache.unchanged import changes_as_error
from kft.config.run_config import RunConfig
from kft.distribute.one_device import devices_of
from kft.engine.best import Best
from kft.engine.context import TrainingContext
from kft.engine.prepare import before_training, in_memory, prepare, steps_per_epoch
from kft.engine.random_state import preserve_random_state
from kft.engine.segments import segments_of
from kft.engine.step import pretrained_values
from kft.engine.train import train
from kft.errors import ConfigError
from kft.finder.found_rate import FoundRate
from kft.phase import Phase
from kft.pipeline.batches import training_batches
from kft.progress import for_people
from kft.storage.atomic import write_json
from kft.workflows.setup import say_devices, set_up


@dataclass(frozen=True)
class LrFindResult:
    """What a learning-rate finder found for a phase.

    Attributes:
        number: Of the phase, from 0.
        configured: The rate that the config has.
    """

    phase: str
    number: int
    configured: float
    found: FoundRate


def lr_find(config: RunConfig, phase: str | None = None) -> LrFindResult:
    """Runs a range test for a phase, the first if None is named.

    It trains the phases before it as a run would, but without the user's callbacks and into a
    temporary directory: rates for fine-tuning mean nothing under an untrained head. Nothing is
    written but what the `cache` keeps, and the random states are afterwards as before.

    It takes the steps on the devices of this machine that a run would.

    Raises:
        KftError: As `run`, or there is no such phase.
    """
    with (
        devices_of(config.distribute.on_this_machine()),
        preserve_random_state(),
        TemporaryDirectory() as directory,
    ):
        return found_in(Path(directory), config, phase)


def found_in(directory: Path, config: RunConfig, phase: str | None) -> LrFindResult:
    """Trains up to the phase called `phase`, with files in `directory`, and tests its rates."""
    import keras

    say_devices(config.precision)
    keras.utils.set_random_seed(config.seed)
    ready = set_up(config)
    config = ready.config
    number = number_of(phase, config.phases)
    task = ready.task
    context = TrainingContext(
        task=task,
        splits=read(ready.splits, config.data.on_bad_input, config.cache).decoded,
        directory=directory,
        best=Best(task.model, config.monitored),
        seed=config.seed,
        batch_size=config.data.batch_size,
        class_weights=config.class_weights,
        rate_factor=config.distribute.rate_factor(),
        jit=config.jit,
        augment_on_device=config.distribute.augments_on_device,
        feature_cache=FeatureCache(config.cache_policy, config.seed, task.backbone.name),
        # What l2_sp pulls to is not what the phases before leave.
        pretrained=pretrained_values(task, config.phases),
    )
    chosen = config.phases[number]
    with changes_as_error(*context.splits.by_name().values()):
        earlier = train(context, config.phases[:number])
        epoch = earlier[-1].epochs[-1]["epoch"] if earlier else 0
        with in_memory(context, chosen, number):
            found = find_rate(context, chosen, epoch)
    return LrFindResult(chosen.name, number, chosen.optimizer.learning_rate, found)


def find_rate(context: TrainingContext, phase: Phase, first_epoch: int = 0) -> FoundRate:
    """Runs a range test for `phase`, on the weights that the task has now.

    With the batches, optimizer, clipping and weights of examples that the phase itself would
    have from `first_epoch` on. The weights in the task and every random state are afterwards as
    before; it is compiled, and frozen but for what the phase trains.
    """
    from kft.finder.range_test import STEPS, find_learning_rate

    with preserve_random_state():
        context = before_training(context, [phase])
        segment = segments_of(context.task, phase, 0)[0]
        with prepare(context, phase, segment, first_epoch) as ready:
            part, target = ready.parts.train, context.task.target
            # Enough for all steps, since what several devices share cannot be repeated.
            epochs = -(-STEPS // steps_per_epoch(part.split, ready.order.batch_size))
            order = replace(ready.order, epochs=max(epochs, ready.order.epochs))
            batches = training_batches(part.split, target, order, part.augment, part.mix)
            return find_learning_rate(part.model, batches)


def number_of(name: str | None, phases: Sequence[Phase]) -> int:
    """Returns the place of the phase called `name`, that of the first if it is None."""
    names = [phase.name for phase in phases]
    if name is None:
        return 0
    if name not in names:
        raise ConfigError(
            where=f"phase {name!r}",
            problem="there is none of that name",
            fix=f"Name one of these phases: {', '.join(names)}",
        )
    return names.index(name)


def refuse_taken(output: str | None) -> None:
    """Raises ConfigError if the `output` that a person named for results is there already."""
    paths = () if output is None else both(Path(output))
    taken = next((path for path in paths if path.exists()), None)
    if taken is not None:
        raise ConfigError(str(taken), "already exists", "Give another name with --output")


def free_name(output: str | None, phase: str) -> Path:
    """A path for results without the ending: `output`, or one where nothing is yet."""
    if output is not None:
        return Path(output)
    names = (Path(f"lr-find-{phase}-{number}") for number in count(1))
    return next(name for name in names if not any(path.exists() for path in both(name)))


def both(name: Path) -> tuple[Path, Path]:
    """Returns the names of the plot and of the numbers."""
    return name.with_name(f"{name.name}.png"), name.with_name(f"{name.name}.json")


def write_found(result: LrFindResult, name: Path) -> tuple[Path, ...]:
    """Writes the numbers and, if it can be drawn, a plot; returns where."""
    from kft.results.figures import draw_found_rate

    plot, numbers = both(name)
    name.parent.mkdir(parents=True, exist_ok=True)
    write_json(numbers, {"phase": result.phase, **result.found.to_json()})
    with for_people(str(plot)):
        draw_found_rate(result.found, result.configured, plot)
    return tuple(path for path in (plot, numbers) if path.exists())
