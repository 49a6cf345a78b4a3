"""``kft backbones``: the models that a config can name. It imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from kft.cli.command import show
from kft.cli.streams import show_json

if TYPE_CHECKING:
    from rich.console import RenderableType

KEYS = ("name", "parameters", "multiply_adds", "top1", "minimum_size", "weights")
EXACT = 32
FEW_BILLIONS = 0.1


@click.command()
@click.option("--size", type=click.IntRange(min=1), default=224, show_default=True, help="Pixels.")
@click.option("--sort", type=click.Choice(KEYS), help="By what; the best or least first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backbones(size: int, sort: str | None, as_json: bool) -> None:
    """List the pretrained models of the kind keras_application.

    Multiply-adds are those of images of --size in both directions.
    """
    from kft.image.applications import list_backbones

    listed = list_backbones(size, sort)
    if as_json:
        show_json(listed)
    else:
        show(backbone_table(listed, size))


def in_billions(operations: int) -> str:
    """Returns a number of billions, of small ones a digit more."""
    billions = operations / 1e9
    return f"{billions:.2f}" if billions >= FEW_BILLIONS else f"{billions:.3f}"


def backbone_table(listed: Sequence[Mapping[str, Any]], size: int) -> RenderableType:
    """Returns the backbones, one row each, and what the columns mean."""
    from rich.console import Group

    from kft.cli.show import percent, table

    columns = ("parameters", "MB", "GMACs", "ImageNet", "smallest")
    shown = table("name", *columns, "weights here", right=columns)
    for row in listed:
        operations = row["multiply_adds"]
        shown.add_row(
            row["name"],
            f"{row['parameters']:,}",
            f"{row['megabytes']}",
            "" if operations is None else in_billions(operations),
            percent(row["top1"]),
            f"{row['minimum_size']} px",
            row["weights"] or "",
        )
    more = "" if size % EXACT == 0 else f" Too low here: {EXACT} does not divide {size}."
    return Group(
        shown,
        "",
        f"GMACs: billions of multiply-adds, {size}x{size} pixels, without the top.{more}",
        "ImageNet: published top-1 accuracy.",
        "The kinds tf_hub, keras_hub, keras_file and kft_run load other models.",
    )
