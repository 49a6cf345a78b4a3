"""``kft cache``: what runs have kept on disk. It imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from kft.cli.command import show
from kft.cli.streams import show_json
from kft.errors import KftError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kft.cache.store import Entry


@click.group()
def cache() -> None:
    """List or remove what runs have kept on disk."""


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_entries(as_json: bool) -> None:
    """List what is kept, used last first."""
    from kft.cache.store import directory, entries

    cached = entries()
    if as_json:
        show_json([entry.in_json() for entry in cached])
    elif cached:
        show(cache_table(cached))
    else:
        click.echo(f"Nothing is kept in {directory()}")


@cache.command()
def clear() -> None:
    """Remove all that is kept; a run that uses it now goes on."""
    from kft.cache.store import clear as remove_all
    from kft.cache.store import directory, entries
    from kft.messages import in_words

    cached = entries()
    removed = remove_all()
    size = in_words(sum(entry.size for entry in removed))
    noun = "set" if len(removed) == 1 else "sets"
    click.echo(f"Removed {len(removed)} {noun}, {size}, from {directory()}")
    left = [entry for entry in cached if entry.path.exists()]
    if left:
        raise KftError(
            where=str(directory()),
            problem=f"{len(left)} of {len(cached)} cannot be removed",
            fix="Run it as a user who may write there",
        )


def cache_table(cached: Sequence[Entry]) -> RenderableType:
    """The entries of the cache, one row each."""
    from kft.cli.show import table
    from kft.messages import in_words

    shown = table("of", "examples", "shape", "view", "size", "last used", right=("examples",))
    for entry in cached:
        metadata = entry.metadata
        view = (metadata.get("view") or {}).get("epoch", "")
        shown.add_row(
            str(metadata.get("backbone") or metadata.get("kind", "damaged")),
            str(metadata.get("examples", "")),
            " ".join("x".join(map(str, shape)) for shape in metadata.get("shapes", ())),
            str(view),
            in_words(entry.size),
            f"{datetime.fromtimestamp(entry.used):%Y-%m-%d %H:%M}",
        )
    return shown
