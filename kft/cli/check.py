"""``kft check``: looks for faults before a run."""

from pathlib import Path

import click

from kft.cli.command import load, show, start_tensorflow, with_config
from kft.cli.streams import show_json


@click.command()
@with_config
@click.option("--config-only", is_flag=True, help="Do not look at the data.")
@click.option(
    "--json",
    "report",
    metavar="[FILE]",
    is_flag=False,
    flag_value="-",
    help="Write all that was found; without FILE to standard output, after CONFIG.",
)
@click.option(
    "--write-exclude",
    "excluded",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a list of what to leave out, for data.exclude.",
)
def check(  # noqa: PLR0913
    config: str,
    overrides: tuple[str, ...],
    trust: tuple[str, ...],
    config_only: bool,
    report: str | None,
    excluded: Path | None,
) -> None:
    """Find what would go wrong with CONFIG, without training.

    Reads every example, and changes none of your files.
    """
    loaded = load(config, overrides, trust)
    if config_only:
        click.echo(f"{config}: the config is fine; its data has not been looked at")
        return
    start_tensorflow()
    from kft.cli.show import check_summary
    from kft.workflows.check import check_and_write

    result = check_and_write(loaded, None if report in (None, "-") else Path(str(report)), excluded)
    if report == "-":
        show_json(result.in_json())
    else:
        show(check_summary(result))
    click.get_current_context().exit(0 if result.is_fine else 1)
