"""Where a run writes: its own directory, or a private one for a worker that is not the chief."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kft.config import RunConfig
from kft.distribute.cluster import least
from kft.engine.run_state import Found, find
from kft.errors import ConfigError, ExportError, KftError
from kft.progress import hidden
from kft.run_dir import BEST_WEIGHTS, CONFIG, FIGURES, METRICS, SCORES, STATE

FULL_DISK = ("No space left on device", "File too large", "Disk quota exceeded")


@contextmanager
def own_directory(config: RunConfig, resume: bool) -> Iterator[Path]:
    """Makes the run's directory, or takes the one of a killed run that `resume` goes on with."""
    directory = Path(config.output_dir)
    if resume and (directory / CONFIG).is_file():
        take_over(directory, config)
    else:
        new_directory(config)
    try:
        with full_disk_told(directory):
            yield directory
    except KftError:
        # So that the same command can be given again, once the cause is mended.
        if not resume and not any((directory / name).exists() for name in (METRICS, STATE)):
            shutil.rmtree(directory, ignore_errors=True)
        raise


@contextmanager
def private_directory() -> Iterator[Path]:
    """Gives a worker that is not the chief a directory that goes with it, and keeps it silent."""
    with TemporaryDirectory(prefix="kft-worker-") as private, hidden():
        (Path(private) / BEST_WEIGHTS).parent.mkdir()
        yield Path(private)


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


def take_over(directory: Path, config: RunConfig) -> None:
    """Makes the directory of a killed run ready to go on with it.

    Raises:
        ConfigError: The run there is another one, or done.
    """
    there = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    here = json.loads(config.to_json())
    others = sorted(key for key in {*there, *here} if there.get(key) != here.get(key))
    if others:
        raise ConfigError(
            where=f"output_dir {str(directory)!r}",
            problem=f"holds a run whose config differs in {', '.join(others)}",
            fix=f"Resume `{directory / CONFIG}` itself, or name another output_dir",
        )
    if (directory / SCORES).is_file() and not (directory / STATE).is_file():
        raise ConfigError(
            where=f"output_dir {str(directory)!r}",
            problem="holds a run that is done: there is nothing to resume",
            fix=f"Take `kft export {directory}` if its export is missing, or another output_dir",
        )
    shutil.rmtree(directory / FIGURES, ignore_errors=True)  # half of them, at most


def found_by_all(config: RunConfig) -> Found | None:
    """Returns the state that a killed run left, if there is one.

    Raises:
        ConfigError: Some workers find another than others.
    """
    found = find(Path(config.output_dir))
    epoch = -1 if found is None else found.told["epoch"]
    if least(epoch) != -least(-epoch):
        raise ConfigError(
            where=f"output_dir {config.output_dir!r}",
            problem="does not hold the same for all workers",
            fix="To resume a run, name a directory that all of them can read",
        )
    return found


def refuse_used(directory: Path) -> None:
    """Raises ConfigError if a run may not write to `directory`, since something is there."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(
            where=f"output_dir {str(directory)!r}",
            problem="is not an empty directory",
            fix="Name another, or move it away: a run overwrites nothing. A run that was killed "
            "there goes on with --resume",
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
        fix = "Make room and run it again"
        if (directory / STATE).is_file():
            fix += " with --resume"
        elif (directory / BEST_WEIGHTS).is_file():
            fix = f"Make room, then `kft export {directory}`: the trained weights are kept"
        raise ExportError(str(directory), f"cannot be written: {full}", fix) from error
