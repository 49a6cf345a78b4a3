"""One run, start to finish. Read this first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kft.cache.decode import Reading, read
from kft.cache.feature_cache import FeatureCache
from kft.cache.unchanged import changes_told
from kft.config.run_config import RunConfig, load_config
from kft.data import Target
from kft.distribute.cluster import is_chief, min_over_workers
from kft.distribute.lost_worker import worker_loss_as_error
from kft.engine.best import Best
from kft.engine.context import TrainingContext
from kft.engine.gain import gain
from kft.engine.parts import part_of
from kft.engine.run_state import RunState
from kft.engine.selection import (
    Selected,
    changed_stages,
    interpolate,
    keep_epoch,
    validator,
)
from kft.engine.train import PhaseResult, train
from kft.errors import ConfigError, DataError, TrainingError
from kft.progress import say
from kft.results.report import draw_end, scores, write_beginning, write_end
from kft.results.resume import examples_of, refuse_changes
from kft.results.run_directory import agreed_resume_state, own_directory, private_directory
from kft.scoring.evaluate import Answers, evaluate
from kft.settings.component import Component
from kft.sources.exclude import left_out
from kft.storage.digests import add_export, add_weights, refuse_changed_model, write_model
from kft.storage.run_files import BEST_WEIGHTS, CONFIG, EXPORT, TARGET
from kft.task import Task, save_weights
from kft.workflows.setup import build_task, set_up


@dataclass(frozen=True)
class RunResult:
    """What a run did and where it is.

    Attributes:
        directory: Of the run, absolute.
        scores: The content of ``scores.json``.
        exports: What the exporters wrote, with the largest difference between its answers and
            the run's own.
        chief: Whether this is the worker that writes; others have no scores and no exports.
    """

    directory: Path
    phases: tuple[PhaseResult, ...]
    scores: Mapping[str, Any]
    exports: Mapping[Path, float]
    chief: bool = True


@dataclass(frozen=True, eq=False)
class Trained:
    """What training leaves, for the scores and the exports."""

    task: Task
    reading: Reading
    feature_cache: FeatureCache
    phases: tuple[PhaseResult, ...]
    selected: Selected


def run(config: RunConfig, resume: bool = False) -> RunResult:
    """Does what `config` says and leaves the results in its `output_dir`.

    To `resume` is to go on with the run that was killed there, if there is one, and to end with
    the weights that it would have had. Where several workers train together, each calls this; the
    first, the chief, writes.

    Raises:
        KftError: Something that the user can mend; the message says what and how.
    """
    strategy = config.distribute.build()
    with strategy.scope():
        chief = is_chief()
    with own_directory(config, resume) if chief else private_directory() as directory:
        with strategy.scope(), worker_loss_as_error():
            state = RunState(directory, agreed_resume_state(config) if resume else None)
            trained = train_in(state, config)
        if not chief:
            result = RunResult(directory, trained.phases, {}, {}, chief=False)
        else:
            result = finish(directory, config, on_one_device(config, trained, directory))
        with strategy.scope(), worker_loss_as_error():
            min_over_workers(0)  # The others wait for the chief: should it fail, they do.
    return result


def train_in(state: RunState, config: RunConfig) -> Trained:
    """Trains as `config` says in the directory of `state`, from where a killed run was on."""
    import keras

    keras.utils.set_random_seed(config.seed)
    ready = set_up(config)
    task = ready.task
    if is_chief():
        write_model(state.directory, parts_of(config), config.backbone.pretrained_files())
    reading = read(ready.splits, config.data.on_bad_input, config.cache)
    for note in reading.raw.notes:
        say(f"note: {note}")
    if state.found is None:
        skipped = reading.bad | left_out(ready.found, ready.splits)
        write_beginning(state.directory, ready.found, skipped)
    else:
        refuse_changes(state.found, ready.found, reading.decoded)
    state.examples = examples_of(reading.decoded)
    feature_cache = FeatureCache(config.cache_policy, config.seed, task.backbone.name)
    phases, selected = train_and_keep(config, task, reading, state, feature_cache)
    return Trained(task, reading, feature_cache, phases, selected)


def on_one_device(config: RunConfig, trained: Trained, directory: Path) -> Trained:
    """Returns what was trained with its weights on one device, as whoever loads it has them.

    A SavedModel of TF-Hub cannot be exported in the scope of several devices (TensorFlow 2.21).
    """
    task = trained.task
    if task.model.distribute_strategy.num_replicas_in_sync == 1:
        return trained
    refuse_changed_model(directory, parts_of(config))
    alone = build_task(config, task.target, task.input)
    for variable, value in zip(alone.model.variables, task.model.variables, strict=True):
        variable.assign(value.numpy())
    return replace(trained, task=alone, selected=trained.selected.on(alone.model))


def finish(directory: Path, config: RunConfig, trained: Trained) -> RunResult:
    """Scores what was trained, exports it, and draws figures."""
    task, reading, feature_cache = trained.task, trained.reading, trained.feature_cache
    answers = {name: answer(task, reading, name, feature_cache) for name in held_out(reading)}
    gained = gain(task, trained.selected, answers, reading.decoded.by_name())
    content = scores(answers, trained.phases, trained.selected, gained)
    test = answers.get("test", answers["validation"])
    write_end(directory, content, test, task.target)
    exports = export(config, task, test, directory)
    draw_end(directory, content, test, task.target)
    # Only now: a run that was killed in any of this is resumed.
    RunState(directory).remove()
    return RunResult(directory, trained.phases, content, exports)


def train_and_keep(
    config: RunConfig, task: Task, reading: Reading, state: RunState, feature_cache: FeatureCache
) -> tuple[tuple[PhaseResult, ...], Selected]:
    """Trains, leaves the selected weights in `task` and writes them, even if training fails."""
    best = Best(task.model, config.monitored)
    context = TrainingContext(
        task=task,
        splits=reading.decoded,
        directory=state.directory,
        best=best,
        seed=config.seed,
        batch_size=config.data.batch_size,
        class_weights=config.class_weights,
        rate_factor=config.distribute.rate_factor(),
        callbacks=lambda: own_callbacks(config),
        feature_cache=feature_cache,
        state=state,
    )
    weights = state.directory / BEST_WEIGHTS
    try:
        with worker_loss_as_error(), changes_told(*reading.decoded.by_name().values()):
            phases = train(context, config.phases)
            if config.select == "interpolate":
                selected = interpolated(config, task, reading, best, feature_cache)
            else:
                selected = keep_epoch(config.select, best, phases[-1].epochs[-1])
    except (DataError, TrainingError, KeyboardInterrupt):
        if best.record is not None:
            best.restore()
            save_weights(task, weights)
            add_weights(state.directory)
            say(f"Kept the weights of epoch {best.record['epoch']} in {weights}")
        raise
    save_weights(task, weights)
    add_weights(state.directory)
    return phases, selected


def own_callbacks(config: RunConfig) -> list[Any]:
    """Returns the callbacks of the user, afresh; those that only write, for the chief alone."""
    import keras

    if is_chief():
        for named in config.callbacks:
            named.make_room(Path(config.output_dir))
    writers = (
        keras.callbacks.ModelCheckpoint,
        keras.callbacks.CSVLogger,
        keras.callbacks.TensorBoard,
    )
    return [
        callback
        for callback in config.built_callbacks()
        if is_chief() or not isinstance(callback, writers)
    ]


def interpolated(
    config: RunConfig, task: Task, reading: Reading, best: Best, feature_cache: FeatureCache
) -> Selected:
    """Leaves the best weights between the head phase and fine-tuning in `task`."""
    start, end = best.before, best.since
    if start is None or end is None:
        return keep_epoch(config.select, best, best.record or {})
    say(f"Trying weights between epoch {start.record['epoch']} and {end.record['epoch']}")
    stages = changed_stages(task, config.phases)
    validation = reading.decoded.validation
    validate = validator(task, validation, stages, config.data.batch_size, feature_cache)
    return interpolate(start, end, best, validate)


def held_out(reading: Reading) -> list[str]:
    """Returns the names of the splits that are scored."""
    return [name for name in reading.raw.by_name() if name != "train"]


def answer(task: Task, reading: Reading, name: str, feature_cache: FeatureCache) -> Answers:
    """Returns what `task` answers to the split `name`."""
    raw, decoded = reading.raw.by_name()[name], reading.decoded.by_name()[name]
    if feature_cache.cache_policy.dtype != "float32":
        return evaluate(task, raw, decoded, name)  # as an export, which rounds no features
    part = part_of(task, decoded, name, feature_cache)
    return evaluate(task, raw, part.split, name, part.model)


def export(config: RunConfig, task: Task, test: Answers, directory: Path) -> dict[Path, float]:
    """Writes every format and verifies it against the answers of the run.

    What is there already is of the same run, which was killed then.
    """
    differences = {}
    for exporter in config.exporters:
        say(f"Exporting {exporter.kind}, and comparing its answers")
        path, difference = exporter.export(task, test, directory / EXPORT, replace=True)
        add_export(directory, path)
        differences[path] = difference
    return differences


def open_run(directory: str | Path) -> tuple[RunConfig, Task]:
    """Returns the config of an earlier run and its task with the weights it selected.

    Raises:
        ConfigError: `directory` is not that of a finished run, or what its model depends on is no
            longer as it was.
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
    refuse_changed_model(directory, parts_of(config))
    target = Target.from_json((directory / TARGET).read_text(encoding="utf-8"))
    task = build_task(config, target, config.data.input)
    task.model.load_weights(directory / BEST_WEIGHTS)
    return config, task


def parts_of(config: RunConfig) -> dict[str, Component]:
    """The components that make up the model of a run, by where its config names them."""
    return {"backbone": config.backbone, "head": config.head, "data.input": config.data.input}
