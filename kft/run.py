"""One run, start to finish. Read this first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft.best import Best
from kft.config import RunConfig, load_config
from kft.data import Target
from kft.errors import ConfigError, ExportError, TrainingError
from kft.evaluate import Answers, evaluate
from kft.exclude import left_out, without
from kft.gain import gain
from kft.keep import Keeper
from kft.parts import Training, part_of
from kft.precision import computing_in
from kft.progress import say
from kft.reading import Reading, read
from kft.report import scores, write_beginning, write_end
from kft.run_dir import BEST_WEIGHTS, CONFIG, EXPORT, TARGET
from kft.selection import (
    Selected,
    changed_stages,
    check_select,
    interpolate,
    keep_epoch,
    validator,
)
from kft.task import Task, assemble, save_weights
from kft.train import PhaseResult, train

FULL_DISK = ("No space left on device", "File too large", "Disk quota exceeded")


@dataclass(frozen=True)
class RunResult:
    """What a run did and where it is.

    Attributes:
        directory: Of the run, absolute.
        scores: The content of ``scores.json``.
        exports: What the exporters wrote, with the largest difference between its answers and
            the run's own.
    """

    directory: Path
    phases: tuple[PhaseResult, ...]
    scores: Mapping[str, Any]
    exports: Mapping[Path, float]


def run(config: RunConfig) -> RunResult:
    """Does what `config` says and leaves the results in its `output_dir`.

    Raises:
        KftError: Something that the user can mend; the message says what and how.
    """
    directory = new_directory(config)
    with full_disk_told(directory):
        return run_in(directory, config)


def run_in(directory: Path, config: RunConfig) -> RunResult:
    """Does what `config` says in an empty `directory`."""
    import keras

    for callback in config.callbacks:
        callback.build()  # only to know before the work begins that it can be made
    keras.utils.set_random_seed(config.seed)
    whole = config.data.load(config.seed)
    found = without(whole, config.data.exclude)
    with computing_in(config.precision):
        backbone = config.backbone.load(found.input.spec)
    task = assemble(backbone, config.head, found.target, found.input)
    reading = read(found, config.data.on_bad_input, config.cache)
    write_beginning(directory, whole, reading.bad | left_out(whole, found))
    keeper = Keeper(config.keeping, config.seed, task.backbone.name)
    phases, selected = train_and_keep(config, task, reading, directory, keeper)
    answers = {name: answer(task, reading, name, keeper) for name in held_out(reading)}
    gained = gain(task, selected, answers, reading.decoded.by_name())
    content = scores(answers, phases, selected, gained)
    test = answers.get("test", answers["validation"])
    write_end(directory, content, test, task.target)
    exports = export(config, task, test, directory)
    return RunResult(directory, phases, content, exports)


def new_directory(config: RunConfig) -> Path:
    """Makes the run's directory, with the resolved config in it."""
    directory = Path(config.output_dir)
    refuse_used(directory)
    try:
        (directory / BEST_WEIGHTS).parent.mkdir(parents=True)
        (directory / CONFIG).write_text(config.to_json() + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            where=f"output_dir {config.output_dir!r}",
            problem=f"cannot be written: {error.strerror}",
            fix="Name a directory that you may write to, on a disk with room",
        ) from error
    return directory


def refuse_used(directory: Path) -> None:
    """Raises ConfigError if a run may not write to `directory`, since something is there."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(
            where=f"output_dir {str(directory)!r}",
            problem="is not an empty directory",
            fix="Name another, or move it away: a run overwrites nothing",
        )


@contextmanager
def full_disk_told(directory: Path) -> Iterator[None]:
    """Turns what Python, HDF5 and TensorFlow each say of a full disk into one message."""
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        full = next((words for words in FULL_DISK if words in str(error)), None)
        if full is None:
            raise
        kept = (directory / BEST_WEIGHTS).is_file()
        raise ExportError(
            where=str(directory),
            problem=f"cannot be written: {full}",
            fix=f"Make room, then `kft export {directory}`: the trained weights are kept"
            if kept
            else "Make room and run it again",
        ) from error


def train_and_keep(
    config: RunConfig, task: Task, reading: Reading, directory: Path, keeper: Keeper
) -> tuple[tuple[PhaseResult, ...], Selected]:
    """Trains, leaves the selected weights in `task` and writes them, even if training fails."""
    check_select(config.select, task, config.phases)
    best = Best(task.model, config.monitored)
    training = Training(
        directory=directory,
        best=best,
        seed=config.seed,
        batch_size=config.data.batch_size,
        class_weights=config.class_weights,
        callbacks=lambda: [callback.build() for callback in config.callbacks],
        keeper=keeper,
    )
    try:
        phases = train(task, reading.decoded, config.phases, training)
    except (TrainingError, KeyboardInterrupt) as error:
        if best.record is None:
            raise
        best.restore()
        save_weights(task, directory / BEST_WEIGHTS)
        say(f"Kept the weights of epoch {best.record['epoch']} in {directory / BEST_WEIGHTS}")
        raise error
    if config.select == "interpolate":
        selected = interpolated(config, task, reading, best, keeper)
    else:
        selected = keep_epoch(config.select, best, phases[-1].epochs[-1])
    save_weights(task, directory / BEST_WEIGHTS)
    return phases, selected


def interpolated(
    config: RunConfig, task: Task, reading: Reading, best: Best, keeper: Keeper
) -> Selected:
    """Leaves the best weights between the head phase and fine-tuning in `task`."""
    start, end = best.before, best.since
    if start is None or end is None:
        return keep_epoch(config.select, best, best.record or {})
    say(f"Trying weights between epoch {start.record['epoch']} and {end.record['epoch']}")
    stages = changed_stages(task, config.phases)
    validation = reading.decoded.validation
    validate = validator(task, validation, stages, config.data.batch_size, keeper)
    return interpolate(start, end, best, validate)


def held_out(reading: Reading) -> list[str]:
    """Returns the names of the splits that are scored."""
    return [name for name in reading.raw.by_name() if name != "train"]


def answer(task: Task, reading: Reading, name: str, keeper: Keeper) -> Answers:
    """Returns what `task` answers to the split `name`."""
    raw, decoded = reading.raw.by_name()[name], reading.decoded.by_name()[name]
    if keeper.keeping.dtype != "float32":
        return evaluate(task, raw, decoded, name)  # as an export, which rounds no features
    part = part_of(task, decoded, name, keeper)
    return evaluate(task, raw, part.split, name, part.model)


def export(config: RunConfig, task: Task, test: Answers, directory: Path) -> dict[Path, float]:
    """Writes every format and verifies it against the answers of the run."""
    (directory / EXPORT).mkdir(exist_ok=True)
    differences = {}
    for exporter in config.exporters:
        say(f"Exporting {exporter.kind}, and asking it in a clean process")
        path = exporter.export(task, directory / EXPORT)
        differences[path] = exporter.verify(path, task, test)
    return differences


def open_run(directory: str | Path) -> tuple[RunConfig, Task]:
    """Returns the config of an earlier run and its task with the weights it selected.

    Raises:
        ConfigError: `directory` is not that of a finished run.
    """
    directory = Path(directory)
    if not (directory / BEST_WEIGHTS).is_file():
        raise ConfigError(
            where=str(directory),
            problem=f"is not the directory of a run that has been trained: it has no "
            f"{BEST_WEIGHTS}",
            fix="Give the directory that `kft run` named at its end",
        )
    config = load_config(directory / CONFIG)
    target = Target.from_json((directory / TARGET).read_text(encoding="utf-8"))
    with computing_in(config.precision):
        backbone = config.backbone.load(config.data.input.spec, pretrained=False)
    task = assemble(backbone, config.head, target, config.data.input)
    task.model.load_weights(directory / BEST_WEIGHTS)
    return config, task
