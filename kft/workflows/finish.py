"""Ends a run that was stopped: scores and exports the best weights so far."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote

from kft.cache.decode import Reading, read
from kft.config.run_config import RunConfig, load_config
from kft.engine.best import Best
from kft.engine.context import TrainingContext
from kft.engine.run_state import RunState, SavedState, find_state
from kft.engine.selection import Selected
from kft.engine.snapshot import Snapshot
from kft.engine.so_far import Record, SoFar, done_so_far
from kft.errors import ConfigError
from kft.progress import say
from kft.results.resume import refuse_changes
from kft.results.run_directory import full_disk_as_error, is_done, locked
from kft.storage.atomic import write_text
from kft.storage.digests import read_model, write_model
from kft.storage.run_files import BEST_WEIGHTS, CONFIG, FOLDS, METRICS, REFIT
from kft.workflows.ending import RunResult, Trained, finish
from kft.workflows.fit import Fits
from kft.workflows.run import save_selected
from kft.workflows.setup import SetUp, say_devices, set_up
from kft.workflows.time_limit import early_end

ENDED_BY = "kft finish"


def finish_run(directory: str | Path) -> RunResult:
    """Scores and exports the best weights so far of a run that was stopped, without training on.

    The run is over then, as if training had ended there: without the folds and the refit that were
    still to come, and with `ended_early` in its ``scores.json``. Where the process was killed
    outright, the best weights are those of the last state on disk.

    Raises:
        ConfigError: `directory` holds no run, one without an epoch that ended, one that is done, or
            one that another process works on; or what its model depends on has changed.
        DataError: Its data has changed, or cannot be read.
        ExportError: An export does not answer as the run does.
        TrainingError: The state on disk is damaged.
    """
    directory = Path(directory)
    with stopped_run(directory) as (config, found):
        records = intact_records(directory)
        say_devices(config.precision)
        ready = set_up(config, pretrained=False)
        examples = read(ready.splits, config.data.on_bad_input, config.cache)
        write_model(directory, config.model_parts, {})  # compares it with what the run began with
        refuse_changes(found, ready.found, examples.decoded)
        trained = with_best_so_far(config, ready, examples, found, records)
        return finish(directory, config, trained)


@contextmanager
def stopped_run(directory: Path) -> Iterator[tuple[RunConfig, SavedState]]:
    """Gives the config and the last state of the stopped run in `directory`, and locks it."""
    if not (directory / CONFIG).is_file():
        raise ConfigError(
            str(directory), f"holds no run: it has no {CONFIG}", "Give the directory of a run"
        )
    with locked(directory), full_disk_as_error(directory):
        if is_done(directory):
            fix = f"Score it again by `kft evaluate {directory}`, or predict with it"
            raise ConfigError(str(directory), "is done: there is nothing to finish", fix)
        found = find_state(directory)
        if found is None or not (directory / METRICS).is_file():
            raise nothing_to_finish(directory)
        config = load_config(directory / CONFIG).reading_assets_in(directory)
        yield config.model_copy(update={"output_dir": str(directory.resolve())}), found


def nothing_to_finish(directory: Path) -> ConfigError:
    """The error for a run of which no epoch's weights are there."""
    return ConfigError(
        where=str(directory),
        problem="has no epoch that ended, so there are no weights to score",
        fix=f"Go on with `kft run {quote(str(directory / CONFIG))} --resume`",
    )


def intact_records(directory: Path) -> list[Record]:
    """The lines of ``metrics.jsonl``; what was cut off as the run was killed is removed."""
    lines = (directory / METRICS).read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        write_text(directory / METRICS, "".join(whole))
    return [json.loads(line) for line in whole]


def with_best_so_far(
    config: RunConfig,
    ready: SetUp,
    examples: Reading,
    found: SavedState,
    records: Sequence[Record],
) -> Trained:
    """The task with the best weights so far, as training would leave it; saves them."""
    task, directory = ready.task, found.directory
    state = RunState(directory, found)
    fits = Fits(config, task, examples.decoded, state, Snapshot.of(()), resume=True)
    context = replace(fits.main(), callbacks=tuple)
    so_far = done_so_far(context, found, config.phases, records)
    if not so_far.phases:
        raise nothing_to_finish(directory)
    record = restore_best(context, so_far, read_model(directory).get("epoch"))
    selected = selection_of(record, context.best, so_far)
    save_selected(task, directory, record)
    left_out = [*([FOLDS] if config.folds else []), *([REFIT] if config.refit else [])]
    ended = early_end(ENDED_BY, so_far.phases, config.phases, left_out)
    return Trained(
        task, examples, context.feature_cache, so_far.phases, selected, ended_early=ended
    )


def restore_best(context: TrainingContext, so_far: SoFar, written: Record | None) -> Record:
    """Gives the model the best weights that are there; returns the record of their epoch.

    They are in the state, or in the file that a run writes as it is interrupted, whose epoch has
    the record `written`. Of a run that is killed outright, those since its last state are lost.
    """
    best, model = context.best, context.task.model
    known = [record for phase in so_far.phases for record in phase.epochs]
    record = best.record
    if written in known and written is not None and written["epoch"] > so_far.saved:
        model.load_weights(context.directory / BEST_WEIGHTS)
        record = written
    elif record is None:
        raise nothing_to_finish(context.directory)
    else:
        best.restore_best_weights()
    wanted = best.among(known)
    if best.score(wanted) > best.score(record):
        say(
            f"note: the weights of epoch {wanted['epoch']}, the best, were not on disk when the "
            f"run was stopped: those of epoch {record['epoch']} are taken"
        )
    return record


def selection_of(record: Record, best: Best, so_far: SoFar) -> Selected:
    """The selection of the epoch of `record`: a run that is stopped later may have taken the last.

    It began from the best epoch before fine-tuning, if there was any.
    """
    start = best.before if best.fine_tunes else None
    if start is not None and record == start.record:
        record = start.record
    known = [each for phase in so_far.phases for each in phase.epochs]
    is_last = record == known[-1] and best.score(record) < best.score(best.among(known))
    return Selected("last" if is_last else "best", best.monitor, record, start)
