"""One run, start to finish. Read this first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kft.cache.decode import Reading, read
from kft.cache.feature_cache import FeatureCache
from kft.cache.unchanged import changes_as_error
from kft.config.run_config import RunConfig
from kft.distribute.cluster import is_chief, min_over_workers
from kft.distribute.lost_worker import worker_loss_as_error
from kft.distribute.one_device import devices_of
from kft.engine.context import TrainingContext
from kft.engine.gain import gain
from kft.engine.parts import part_of
from kft.engine.random_state import deterministic_ops
from kft.engine.run_state import RunState
from kft.engine.selection import Selected, select_weights
from kft.engine.snapshot import Snapshot
from kft.engine.train import PhaseResult, train
from kft.errors import DataError, TrainingError
from kft.exporter import VERIFIED
from kft.progress import say
from kft.results.report import draw_end, scores, write_beginning, write_end
from kft.results.resume import examples_of, refuse_changes
from kft.results.run_directory import (
    agreed_state,
    as_begun,
    own_directory,
    private_directory,
    write_worked_out,
)
from kft.results.waits import input_notes
from kft.scoring.evaluate import Answers, evaluate
from kft.scoring.on_cpu import on_cpu
from kft.sources.exclude import left_out
from kft.storage.digests import add_export, add_weights, refuse_changed_model, write_model
from kft.storage.run_files import BEST_WEIGHTS, EXPORT
from kft.task import Task, save_weights
from kft.workflows.budget import within_budget
from kft.workflows.fit import Fits
from kft.workflows.folds import cross_validate
from kft.workflows.refit import refit, refit_phases
from kft.workflows.setup import SetUp, build_task, say_devices, set_up


@dataclass(frozen=True)
class RunResult:
    """What a run did and where it is.

    Attributes:
        directory: Of the run, absolute.
        scores: The content of ``scores.json``.
        exports: What the exporters wrote, with the largest difference between its answers and
            the run's own, both of the CPU.
        device_difference: The largest between the run's answers on its GPU and on the CPU; None if
            it had no GPU, or wrote no export.
        notes: On what held training up, for people.
        chief: Whether this is the worker that writes; others have no scores and no exports.
    """

    directory: Path
    phases: tuple[PhaseResult, ...]
    scores: Mapping[str, Any]
    exports: Mapping[Path, float]
    device_difference: float | None = None
    notes: tuple[str, ...] = ()
    chief: bool = True


@dataclass(frozen=True, eq=False)
class Trained:
    """What training leaves, for the scores and the exports.

    Attributes:
        validated: The weights before the refit, whose answers to the validation examples count,
            since the refit trains on these; None if there is none.
        folds: What cross-validation gave, as in ``scores.json``; None if there was none.
    """

    task: Task
    examples: Reading
    feature_cache: FeatureCache
    phases: tuple[PhaseResult, ...]
    selected: Selected
    validated: Snapshot | None = None
    folds: Mapping[str, Any] | None = None


def run(config: RunConfig, resume: bool = False) -> RunResult:
    """Does what `config` says and leaves the results in its `output_dir`.

    To `resume` is to go on with the run that was killed there, if there is one, and to end with
    the weights that it would have had. Where several workers train together, each calls this; the
    first, the chief, writes.

    Raises:
        KftError: Something that the user can fix; the message says what and how.
    """
    strategy = config.distribute.build()
    with strategy.scope():
        chief = is_chief()
    with (
        deterministic_ops(config.deterministic),
        own_directory(config, resume) if chief else private_directory() as directory,
    ):
        with strategy.scope(), worker_loss_as_error():
            min_over_workers(0)  # The chief has copied the assets.
        # There for all workers: that of one which is not the chief is private, and has no copies.
        config = config.reading_assets_in(Path(config.output_dir))
        config = as_begun(config) if resume else config
        with devices_of(strategy), worker_loss_as_error():
            found = agreed_state(Path(config.output_dir)) if resume else None
            trained = fine_tune(config, RunState(directory, found), resume)
        if not chief:
            result = RunResult(directory, trained.phases, {}, {}, chief=False)
        else:
            result = finish(directory, config, on_one_device(config, trained, directory))
        with strategy.scope(), worker_loss_as_error():
            min_over_workers(0)  # The others wait for the chief: should it fail, they do.
    return result


def fine_tune(config: RunConfig, state: RunState, resume: bool = False) -> Trained:
    """Trains phase by phase and leaves the selected weights in the model and on disk.

    By default there are two phases: the new head on the frozen backbone, then everything at a low
    rate. A run that was killed goes on from `state`.
    """
    import keras

    started = time.monotonic()
    say_devices(config.precision)
    keras.utils.set_random_seed(config.seed)
    ready = set_up(config)
    config = ready.config
    examples = read(ready.splits, config.data.on_bad_input, config.cache)
    config = within_budget(config, examples.raw, started)
    begin(config, ready, examples, state)
    task = ready.task
    fresh = Snapshot.of(task.model.variables)
    fits = Fits(config, task, examples.decoded, state, fresh, resume)
    context = fits.main()
    with best_weights_saved(context):
        phases = train(context, config.phases)
        selected = select_weights(config.select, context, config.phases, phases)
    trained = Trained(task, examples, context.feature_cache, phases, selected)
    if config.folds:
        trained = replace(trained, folds=cross_validate(fits))
    if config.refit:
        trained = replace(trained, validated=Snapshot.of(task.model.variables))
        refit(fits, refit_phases(config.phases, phases, selected))
        save_selected(task, state.directory)
    return trained


def begin(config: RunConfig, ready: SetUp, examples: Reading, state: RunState) -> None:
    """Writes what is known before training; of a resumed run, compares it with what there is."""
    if is_chief():
        if state.found is None:
            write_worked_out(state.directory, config)
        write_model(state.directory, config.model_parts, config.backbone.pretrained_files())
    for note in examples.raw.notes:
        say(f"note: {note}")
    if state.found is None:
        skipped = examples.bad | left_out(ready.found, ready.splits)
        write_beginning(state.directory, ready.found, skipped)
    else:
        refuse_changes(state.found, ready.found, examples.decoded)
    state.examples = examples_of(examples.decoded)


@contextmanager
def best_weights_saved(context: TrainingContext) -> Iterator[None]:
    """Saves the weights that training leaves; where it fails, those of the best epoch so far."""
    task, best, directory = context.task, context.best, context.directory
    try:
        with worker_loss_as_error(), changes_as_error(*context.splits.by_name().values()):
            yield
    except (DataError, TrainingError, KeyboardInterrupt):
        if best.overall is not None:
            with best.overall.weights.seen():
                save_selected(task, directory)
            epoch = best.overall.record["epoch"]
            say(f"The weights of epoch {epoch} are in {directory / BEST_WEIGHTS}")
        raise
    save_selected(task, directory)


def save_selected(task: Task, directory: Path) -> None:
    """Writes the weights of `task` into the run, and their digests."""
    save_weights(task, directory / BEST_WEIGHTS)
    add_weights(directory)


def on_one_device(config: RunConfig, trained: Trained, directory: Path) -> Trained:
    """Moves what was trained to one device, as whoever loads it has it.

    A SavedModel of TF-Hub cannot be exported in the scope of several devices (TensorFlow 2.21).
    """
    task = trained.task
    if task.model.distribute_strategy.num_replicas_in_sync == 1:
        return trained
    refuse_changed_model(directory, config.model_parts)
    alone = build_task(config, task.target, task.input)
    for variable, value in zip(alone.model.variables, task.model.variables, strict=True):
        variable.assign(value.numpy())
    validated = trained.validated and trained.validated.on(alone.model.variables)
    selected = trained.selected.on(alone.model)
    return replace(trained, task=alone, selected=selected, validated=validated)


def finish(directory: Path, config: RunConfig, trained: Trained) -> RunResult:
    """Scores what was trained, exports it, and draws figures."""
    task, examples, feature_cache = trained.task, trained.examples, trained.feature_cache
    final = {name: answer(task, examples, name, feature_cache) for name in held_out(examples)}
    answers = final | validation_before_refit(trained)
    gained = gain(task, trained.selected, answers, examples.decoded.by_name())
    content = scores(answers, trained.phases, trained.selected, gained, trained.folds)
    test = answers.get("test", answers["validation"])
    write_end(directory, content, test, task.target)
    exports, across = export(config, task, final.get("test", final["validation"]), directory)
    draw_end(directory, content, test, task.target)
    # Only now: a run that was killed in any of this is resumed.
    RunState(directory).remove()
    notes = input_notes(trained.phases, examples.raw.input.plural)
    return RunResult(directory, trained.phases, content, exports, across, notes)


def validation_before_refit(trained: Trained) -> dict[str, Answers]:
    """What the weights before the refit answer to the validation examples, if there was one."""
    if trained.validated is None:
        return {}
    with trained.validated.assigned():
        validation = answer(trained.task, trained.examples, "validation", trained.feature_cache)
    return {"validation": validation}


def held_out(examples: Reading) -> list[str]:
    """The names of the splits that are scored."""
    return [name for name in examples.raw.by_name() if name != "train"]


def answer(task: Task, examples: Reading, name: str, feature_cache: FeatureCache) -> Answers:
    """What `task` answers to the split `name`."""
    raw, decoded = examples.raw.by_name()[name], examples.decoded.by_name()[name]
    if feature_cache.cache_policy.dtype != "float32":
        return evaluate(task, raw, decoded, name)  # as an export, which rounds no features
    part = part_of(task, decoded, name, feature_cache)
    return evaluate(task, raw, part.split, name, part.model)


def export(
    config: RunConfig, task: Task, test: Answers, directory: Path
) -> tuple[dict[Path, float], float | None]:
    """Writes every format and verifies it against the answers of the run, as the CPU gives them.

    Returns the difference of each, and the largest between GPU and CPU, as `RunResult` has them.
    What is there already is of the same run, which was killed then.
    """
    if not config.exporters:
        return {}, None
    expected, across = on_cpu(task, test, VERIFIED)
    differences = {}
    for exporter in config.exporters:
        say(f"Exporting {exporter.kind}, and comparing its answers")
        path, difference = exporter.export(task, expected, directory / EXPORT, replace=True)
        add_export(directory, path)
        differences[path] = difference
    return differences, across
