"""The directory that a run writes to; a private one for a worker that is not the chief."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any

from kft.config.run_config import RunConfig, load_config
from kft.distribute.cluster import min_over_workers
from kft.distribute.lost_worker import LostWorkerError
from kft.distribute.strategy import cluster_here
from kft.engine.run_state import SavedState, find_state
from kft.errors import ConfigError, ExportError, OutOfMemoryError, TrainingError
from kft.progress import hidden, say
from kft.storage.assets import keep_assets
from kft.storage.atomic import PARTIAL, write_text
from kft.storage.run_files import (
    ARRAYS,
    BEST_WEIGHTS,
    CONFIG,
    LOCK,
    METRICS,
    PREDICTIONS,
    SCORES,
    STATE,
)

# Settings of the data and of phases that may be others where a run goes on: what fits in memory.
SIZES = ("batch_size", "accumulate_steps")
FULL_DISK = ("No space left on device", "File too large", "Disk quota exceeded")


@contextmanager
def own_directory(config: RunConfig, resume: bool) -> Iterator[Path]:
    """Makes the run's directory, or takes the one of a killed run that `resume` goes on with.

    If the run ends before its first epoch has, the directory is removed if it was made here, so
    that the same command can be given again; unless it can go on with other settings.
    """
    directory = Path(config.output_dir)
    goes_on = resume and (directory / CONFIG).is_file()
    if not goes_on:
        new_directory(config, resume)
    with locked(directory):
        if goes_on:
            take_over(directory, config)
        try:
            with full_disk_as_error(directory):
                keep_assets(directory, config.model_parts)
                yield directory
        except BaseException as error:
            settings = error.settings if isinstance(error, OutOfMemoryError) else ()
            if not goes_on and not settings and not (directory / METRICS).exists():
                shutil.rmtree(directory, ignore_errors=True)
            # A signal to all workers may reach this one as the loss of another.
            if settings or isinstance(error, (KeyboardInterrupt, LostWorkerError)):
                say_what_is_left(directory, settings)
            raise


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps all other processes from going on with the run in `directory`.

    The lock ends with the process. Where the system or the disk has no locks, there is none.

    Raises:
        ConfigError: Another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    # A file of its own, since others are replaced; for writing, as NFS wants it.
    with (directory / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                where=f"output_dir {str(directory)!r}",
                problem="holds a run that another process is working on",
                fix="Wait until that process has ended, or end it",
            ) from error
        except OSError:
            say(f"note: {directory} cannot be locked: start no other process that goes on with it")
        yield


def say_what_is_left(directory: Path, settings: Iterable[str] = ()) -> None:
    """Says which files an interrupted run has left, and how to resume it with other `settings`."""
    for line in what_is_left(directory, settings):
        say(line)


def what_is_left(directory: Path, settings: Iterable[str] = ()) -> list[str]:
    """The files that an interrupted run has left, and how to resume it, a line each."""
    if not directory.exists():
        return [f"Nothing had been trained, so {directory} is gone: give the same command again"]
    names = (METRICS, BEST_WEIGHTS, SCORES, PREDICTIONS)
    there = [name for name in names if (directory / name).is_file()]
    lines = [f"{directory} holds {', '.join(there)}"] if there else []
    if is_done(directory):
        return [*lines, f"Export it with:  kft export {quote(str(directory))}"]
    how = "Go on with" if cluster_here() is None else "Start all workers again to go on, each with"
    words = ["kft run", quote(str(directory / CONFIG)), "--resume"]
    words += [f"--set {quote(each)}" for each in settings]
    lines.append(f"{how}:  {' '.join(words)}")
    if METRICS in there:
        lines.append(f"Score and export the best so far:  kft finish {quote(str(directory))}")
    return lines


def is_done(directory: Path) -> bool:
    """Says whether the run in `directory` has its scores and exports: the state goes after them."""
    return (directory / SCORES).is_file() and not (directory / STATE).is_file()


@contextmanager
def private_directory() -> Iterator[Path]:
    """Gives a worker that is not the chief a temporary directory, and hides its output."""
    with TemporaryDirectory(prefix="kft-worker-") as private, hidden():
        (Path(private) / BEST_WEIGHTS).parent.mkdir()
        yield Path(private)


def new_directory(config: RunConfig, resume: bool = False) -> Path:
    """Makes the run's directory, with the resolved config in it.

    With `resume`, the directory was expected to hold a killed run.
    """
    directory = Path(config.output_dir)
    refuse_used(directory, resume)
    try:
        if not directory.exists():
            directory.mkdir(parents=True)  # which of two that begin at once one alone can do
        write_config(directory, config)
        (directory / ARRAYS).mkdir()
    except OSError as error:
        raise ConfigError(
            where=f"output_dir {config.output_dir!r}",
            problem=f"cannot be made: {error.strerror}",
            fix="Name a directory that you may write to, on a disk with room",
        ) from error
    return directory


def write_config(directory: Path, config: RunConfig) -> None:
    """Writes the config of a run, with every default filled in."""
    write_text(directory / CONFIG, config.to_json() + "\n")


def write_worked_out(directory: Path, config: RunConfig) -> None:
    """Writes into the config of a run what `config`, the same, has worked out since."""
    write_config(directory, with_left_open(load_config(directory / CONFIG), config))


def as_begun(config: RunConfig) -> RunConfig:
    """Returns `config` with what its run has worked out when it began."""
    there = Path(config.output_dir) / CONFIG
    if not there.is_file():
        return config
    return with_left_open(config, load_config(there))


def with_left_open(config: RunConfig, worked_out: RunConfig) -> RunConfig:
    """Returns `config` with what it leaves open as it is in `worked_out`."""
    return config.model_copy(update={key: getattr(worked_out, key) for key in left_open(config)})


def left_open(config: RunConfig) -> list[str]:
    """The keys of `config` that a run works out when it begins."""
    phases = [] if config.phases else ["phases", "time_budget"]
    return phases if config.refit is not None else [*phases, "refit"]


def take_over(directory: Path, config: RunConfig) -> None:
    """Makes the directory of a killed run ready to go on with it.

    Raises:
        ConfigError: The run there is another one, or done.
        TrainingError: Its config is damaged.
    """
    try:
        there = dict(json.loads((directory / CONFIG).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        problem = f"{CONFIG} is cut off or changed"
        fix = "Copy your own config there, or start a new run with another output_dir"
        raise TrainingError(f"resume {str(directory)!r}", problem, fix) from error
    here = json.loads(config.to_json())
    before, now = without_sizes(there), without_sizes(here)
    keys = {*there, *here} - {*left_open(config)}
    others = sorted(key for key in keys if before.get(key) != now.get(key))
    if others:
        raise ConfigError(
            where=f"output_dir {str(directory)!r}",
            problem=f"holds a run whose config differs in {', '.join(others)}",
            fix=f"Resume `{directory / CONFIG}` itself, or name another output_dir",
        )
    if is_done(directory):
        raise ConfigError(
            where=f"output_dir {str(directory)!r}",
            problem="holds a run that is done: there is nothing to resume",
            fix=f"Run `kft export {directory}` if its export is missing, or give another "
            "output_dir",
        )
    if any(there.get(key) != here.get(key) for key in keys):
        say("note: the run goes on with other sizes of batches than it began with")
        write_config(directory, as_begun(config))
    (directory / ARRAYS).mkdir(exist_ok=True)  # it comes behind the config


def without_sizes(settings: Any) -> Any:
    """A config as JSON, or a part of it, without what may be another where its run goes on."""
    if isinstance(settings, list):
        return [without_sizes(each) for each in settings]
    if not isinstance(settings, dict):
        return settings
    inside = {key: without_sizes(settings[key]) for key in ("data", "phases") if key in settings}
    return {key: value for key, value in {**settings, **inside}.items() if key not in SIZES}


def agreed_state(directory: Path) -> SavedState | None:
    """Returns the state that a killed run left in `directory`, if there is one.

    Raises:
        ConfigError: Some workers find another than others.
    """
    found = find_state(directory)
    number = -1 if found is None else found.number
    if min_over_workers(number) != -min_over_workers(-number):
        raise ConfigError(
            where=f"output_dir {str(directory)!r}",
            problem="does not hold the same for all workers",
            fix="To resume a run, name a directory that all of them can read",
        )
    return found


def refuse_used(directory: Path, resume: bool = False) -> None:
    """Raises ConfigError if a run may not write to `directory`, since something is there.

    What a run has left that was killed as it began is nothing; `resume` says that there was to be
    more.
    """
    if directory.is_dir():
        there = [path for path in directory.iterdir() if path.name != PARTIAL + CONFIG]
    if not directory.exists() or (directory.is_dir() and not there):
        return
    fix = "Give a new or empty directory: a run overwrites nothing"
    if not resume:
        fix += ". A run that was killed there goes on with --resume"
    raise ConfigError(
        where=f"output_dir {str(directory)!r}",
        problem=f"is not empty, but has no {CONFIG} to go on with"
        if resume
        else "is not an empty directory",
        fix=fix,
    )


@contextmanager
def full_disk_as_error(directory: Path) -> Iterator[None]:
    """Turns the errors of Python, HDF5 and TensorFlow for a full disk into one message."""
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        full = next((words for words in FULL_DISK if words in str(error)), None)
        if full is None:
            raise
        fix = "Make room and run it again"
        # Before the first epoch has ended the directory goes, with a state that is there already.
        if (directory / STATE).is_file() and (directory / METRICS).is_file():
            fix += " with --resume"
        elif (directory / BEST_WEIGHTS).is_file():
            fix = f"Make room, then `kft export {directory}`: the trained weights are kept"
        raise ExportError(str(directory), f"cannot be written: {full}", fix) from error
