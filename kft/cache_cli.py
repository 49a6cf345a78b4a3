"""``kft cache``: the features that runs have kept on disk. It imports no TensorFlow."""

import json

import click


@click.group()
def cache() -> None:
    """List or remove the features that runs have kept."""


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_kept(as_json: bool) -> None:
    """List the kept features, those used last first."""
    from rich.console import Console

    from kft.feature_store import directory, entries
    from kft.show import kept_table

    kept = entries()
    if as_json:
        click.echo(json.dumps([entry.in_json() for entry in kept], indent=2))
    elif kept:
        Console(markup=False, emoji=False, highlight=False).print(kept_table(kept))
    else:
        click.echo(f"Nothing is kept in {directory()}")


@cache.command()
def clear() -> None:
    """Remove all kept features; a run that uses them now goes on."""
    from kft.feature_store import clear as remove_all
    from kft.feature_store import directory, in_words

    removed = remove_all()
    size = in_words(sum(entry.size for entry in removed))
    noun = "set" if len(removed) == 1 else "sets"
    click.echo(f"Removed {len(removed)} {noun} of features, {size}, from {directory()}")
