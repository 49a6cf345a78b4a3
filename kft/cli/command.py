"""Shared by the commands: reading the config, starting TensorFlow, showing results."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kft.config.run_config import RunConfig

RESUME = click.option(
    "--resume", is_flag=True, help="Go on with the run in output_dir, if one was killed there."
)
MAX_TIME = click.option(
    "--max-time",
    metavar="TIME",
    help="End training in time to have all results after 10m or 2h, whatever it has reached.",
)
TRUST = click.option(
    "--trust",
    multiple=True,
    metavar="PACKAGE",
    help="Run its code; saved_model: run a SavedModel whatever it does.",
)


def with_config(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say which config to use."""
    for option in (
        TRUST,
        click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Override a key."),
        click.argument("config"),
    ):
        command = option(command)
    return command


def load(config: str, overrides: tuple[str, ...], trust: tuple[str, ...]) -> RunConfig:
    """Returns the config that the options of `with_config` name."""
    from kft.config.run_config import load_config

    if not trust:
        return load_config(config, overrides, trust)
    from kft.cli.quiet import without_noise

    find_own_code()
    # A class of the user's may import TensorFlow.
    with nullcontext() if is_verbose() else without_noise():
        return load_config(config, overrides, trust)


def find_own_code() -> None:
    """Lets Python import classes of the user's from the working directory."""
    sys.path.insert(0, str(Path.cwd()))


def refuse_without_output(config: str, overrides: tuple[str, ...]) -> None:
    """Raises ConfigError if the config leaves it to the time where its run writes."""
    from kft.config.run_config import read_json
    from kft.errors import ConfigError

    settings = read_json(config)[1]
    if "output_dir" not in settings and not any(o.startswith("output_dir=") for o in overrides):
        raise ConfigError(
            where="--resume",
            problem=f"{config} says no output_dir, so each run has a new one",
            fix="Give the config.json in the directory of the run, or --set output_dir=DIR",
        )


def refuse_untrusted(run_dir: str, trust: tuple[str, ...]) -> None:
    """Raises ConfigError if the config of a run, perhaps of someone else's, names foreign code."""
    from kft.storage.run_files import CONFIG

    config = Path(run_dir) / CONFIG
    if config.is_file():
        load(str(config), (), trust)


def is_verbose() -> bool:
    """Says whether ``--verbose`` was given."""
    return bool(click.get_current_context().find_root().params["verbose"])


def start_tensorflow() -> None:
    """Imports TensorFlow, in silence unless ``--verbose`` was given."""
    with collecting_rarely():
        if is_verbose():
            import tensorflow  # noqa: F401
        else:
            from kft.cli.quiet import import_tensorflow_quietly

            import_tensorflow_quietly()


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Keeps Python's garbage collector off what is made meanwhile, and has it collect rarely then.

    It would go over the half million objects of TensorFlow's import again and again while they
    and, later, graphs are made, and over those graphs, one by one, when the process ends: a tenth
    of the time of a short run.
    """
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            atexit.register(gc.freeze)
        gc.freeze()
        gc.set_threshold(50_000)
        gc.enable()


def show(thing: Any) -> None:
    """Prints a rich renderable; where it goes to a file or a pipe, without breaking its lines."""
    from kft.cli.streams import console_on

    console = console_on()
    if not console.is_terminal:
        console.width = 10_000
    console.print(thing)
