"""One run, start to finish. Read this first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kft.cache.decode import Reading, read
from kft.cache.unchanged import changes_as_error
from kft.config.run_config import RunConfig
from kft.distribute.cluster import is_chief, min_over_workers
from kft.distribute.lost_worker import worker_loss_as_error
from kft.distribute.one_device import devices_of
from kft.engine.context import TrainingContext
from kft.engine.deadline import Deadline
from kft.engine.random_state import deterministic_ops
from kft.engine.run_state import RunState
from kft.engine.selection import select_weights
from kft.engine.snapshot import Snapshot
from kft.engine.train import train
from kft.errors import DataError, TrainingError
from kft.progress import say
from kft.results.report import write_beginning
from kft.results.resume import examples_of, refuse_changes
from kft.results.run_directory import (
    agreed_state,
    as_begun,
    own_directory,
    private_directory,
    write_worked_out,
)
from kft.sources.exclude import left_out
from kft.storage.digests import add_weights, refuse_changed_model, write_model
from kft.storage.run_files import BEST_WEIGHTS, FOLDS, REFIT
from kft.task import Task, save_weights
from kft.workflows.budget import within_budget
from kft.workflows.ending import RunResult, Trained, finish
from kft.workflows.fit import Fits
from kft.workflows.folds import cross_validate
from kft.workflows.refit import refit, refit_phases
from kft.workflows.setup import SetUp, build_task, say_devices, set_up
from kft.workflows.time_limit import deadline_in, early_end, is_in_time, is_time_for


def run(config: RunConfig, resume: bool = False, max_time: str | None = None) -> RunResult:
    """Does what `config` says and leaves the results in its `output_dir`.

    To `resume` is to go on with the run that was killed there, if there is one, and to end with
    the weights that it would have had. With `max_time`, such as ``2h``, training ends early enough
    for the scores and exports to be there by then. Where several workers train together, each calls
    this; the first, the chief, writes.

    Raises:
        KftError: Something that the user can fix; the message says what and how.
    """
    deadline = deadline_in(max_time)
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
            trained = fine_tune(config, RunState(directory, found), resume, deadline)
        if not chief:
            result = RunResult(directory, trained.phases, {}, {}, chief=False)
        else:
            result = finish(directory, config, on_one_device(config, trained, directory))
        with strategy.scope(), worker_loss_as_error():
            min_over_workers(0)  # The others wait for the chief: should it fail, they do.
    return result


def fine_tune(
    config: RunConfig, state: RunState, resume: bool = False, deadline: Deadline | None = None
) -> Trained:
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
    fits = Fits(config, task, examples.decoded, state, fresh, resume, deadline)
    context = fits.main()
    with best_saved_on_failure(context):
        phases = train(context, config.phases)
        selected = select_weights(config.select, context, config.phases, phases)
        save_selected(task, state.directory, selected.epoch_record)
    trained = Trained(task, examples, context.feature_cache, phases, selected)
    return with_folds_and_refit(fits, trained)


def with_folds_and_refit(fits: Fits, trained: Trained) -> Trained:
    """Adds the folds and the refit that the config wants, as far as there is time for them."""
    config, task, deadline = fits.config, trained.task, fits.deadline
    seconds = sum(phase.seconds for phase in trained.phases)
    if config.folds and is_time_for("the folds", deadline, config.folds * seconds):
        trained = replace(trained, folds=cross_validate(fits) or None)
    if config.refit and is_time_for("the refit", deadline, seconds):
        trained = replace(trained, validated=Snapshot.of(task.model.variables))
        refit(fits, refit_phases(config.phases, trained.phases, trained.selected))
        if trained.validated and not is_in_time("the refit", deadline):
            trained.validated.restore()
            trained = replace(trained, validated=None)
        save_selected(task, fits.state.directory)
    left_out = [
        *([FOLDS] if config.folds and trained.folds is None else []),
        *([REFIT] if config.refit and trained.validated is None else []),
    ]
    if deadline is None or not (deadline.reached or left_out):
        return trained
    by = f"--max-time {deadline.given}"
    ended = early_end(by, trained.phases, config.phases, left_out)
    return replace(trained, ended_early=ended)


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
def best_saved_on_failure(context: TrainingContext) -> Iterator[None]:
    """Saves the weights of the best epoch so far, if training fails or is stopped."""
    task, best, directory = context.task, context.best, context.directory
    try:
        with worker_loss_as_error(), changes_as_error(*context.splits.by_name().values()):
            yield
    except (DataError, TrainingError, KeyboardInterrupt):
        if best.overall is not None:
            with best.overall.weights.seen():
                save_selected(task, directory, best.overall.record)
            epoch = best.overall.record["epoch"]
            say(f"The weights of epoch {epoch} are in {directory / BEST_WEIGHTS}")
        raise


def save_selected(task: Task, directory: Path, record: Mapping[str, Any] | None = None) -> None:
    """Writes the weights of `task` into the run, and their digests.

    `record` is that of the epoch that they are of; None if they are of none alone.
    """
    save_weights(task, directory / BEST_WEIGHTS)
    add_weights(directory, record)


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
