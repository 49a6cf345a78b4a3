"""Where a run writes: its own directory, or a private one for a worker that is not the chief."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kft.config import RunConfig
from kft.errors import ConfigError, ExportError
from kft.progress import hidden
from kft.run_dir import BEST_WEIGHTS, CONFIG

FULL_DISK = ("No space left on device", "File too large", "Disk quota exceeded")


@contextmanager
def own_directory(config: RunConfig) -> Iterator[Path]:
    """Makes the run's directory."""
    directory = new_directory(config)
    with full_disk_told(directory):
        yield directory


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
