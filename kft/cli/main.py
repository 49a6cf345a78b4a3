"""The command line: parse, call one function, print. No logic lives here.

It imports inside functions: ``kft --help`` must not wait for TensorFlow.
"""

import signal
from pathlib import Path
from typing import Any

import click

from kft import __version__
from kft.cli.backbones import backbones
from kft.cli.cache import cache
from kft.cli.check import check
from kft.cli.command import (
    MAX_TIME,
    RESUME,
    TRUST,
    find_own_code,
    is_verbose,
    load,
    refuse_untrusted,
    refuse_without_output,
    show,
    start_tensorflow,
    with_config,
)
from kft.cli.ending import exit_code, requests_to_end
from kft.cli.evaluate import evaluate
from kft.cli.predict import predict
from kft.cli.streams import (
    console_on,
    make_writable,
    progress_stream,
    show_error,
    show_json,
)
from kft.errors import KftError


class KftGroup(click.Group):
    """Shows a KftError as one message and its exit code. A bug keeps its traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs the command line."""
        make_writable()
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command."""
        with requests_to_end() as came:
            try:
                return self.run(ctx)
            except KeyboardInterrupt:
                code = exit_code(came)
                click.echo(f"Ended by {signal.Signals(code - 128).name}.", err=True)
                ctx.exit(code)

    def run(self, ctx: click.Context) -> object:
        """Runs the command, and says what was wrong with it."""
        from kft.progress import shown_on

        try:
            with progress_stream() as terminal, shown_on(console_on(terminal)):
                return super().invoke(ctx)
        except KftError as error:
            show_error(error)
            ctx.exit(error.exit_code)
        except OSError as error:
            # Of a file that the user named, such as one in a folder that may not be written to.
            if error.filename is None:
                raise
            show_error(f"{error.filename}: {error.strerror}. Give another path.")
            ctx.exit(1)


@click.group(cls=KftGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--verbose", is_flag=True, help="Show what TensorFlow says while it starts.")
@click.option("--offline", is_flag=True, help="Download nothing; KFT_OFFLINE=1 does the same.")
@click.version_option(__version__, prog_name="kft")
def main(verbose: bool, offline: bool) -> None:
    """Fine-tune a pretrained Keras model in phases, as one JSON file says."""
    if offline:
        from kft.backbones.offline import go_offline

        go_offline()


main.add_command(backbones)
main.add_command(cache)
main.add_command(check)
main.add_command(evaluate)
main.add_command(predict)


@main.command()
@with_config
@click.option(
    "--time",
    "budget",
    metavar="TIME",
    help="Plan the default recipe to fit into 10m or 2h; --max-time cuts any.",
)
@MAX_TIME
@RESUME
def run(  # noqa: PLR0913
    config: str,
    overrides: tuple[str, ...],
    trust: tuple[str, ...],
    budget: str | None,
    max_time: str | None,
    resume: bool,
) -> None:
    """Train, evaluate and export as CONFIG says.

    CONFIG is a JSON file, or the name of a config that comes with kft, such as quickstart.
    """
    timed = () if budget is None else (f"time_budget={budget}",)
    loaded = load(config, (*overrides, *timed), trust)
    if resume:
        refuse_without_output(config, overrides)
    start_tensorflow()
    from kft.cli.show import run_summary
    from kft.workflows.run import run as run_config

    result = run_config(loaded, resume, max_time)
    if result.chief:
        show(run_summary(result))


@main.command()
@TRUST
@click.argument("run_dir")
def finish(run_dir: str, trust: tuple[str, ...]) -> None:
    """Score and export the best so far of a run that was stopped.

    It trains no further. `kft run --resume` would go on with the training instead.
    """
    refuse_untrusted(run_dir, trust)
    start_tensorflow()
    from kft.cli.show import run_summary
    from kft.workflows.finish import finish_run

    show(run_summary(finish_run(run_dir)))


@main.command()
@with_config
@click.option("--workers", type=click.IntRange(min=2), required=True, help="How many.")
@MAX_TIME
@RESUME
def launch(  # noqa: PLR0913
    config: str,
    overrides: tuple[str, ...],
    trust: tuple[str, ...],
    workers: int,
    max_time: str | None,
    resume: bool,
) -> None:
    """Run CONFIG as several workers on this machine.

    So a cluster can be tried out. It fails when one of them does.
    """
    loaded = load(config, overrides, trust)
    from kft.distribute.launch import launch as launch_workers
    from kft.distribute.launch import run_arguments
    from kft.results.run_directory import refuse_used

    arguments = run_arguments(config, overrides, trust, is_verbose())
    if max_time is not None:
        arguments += ["--max-time", max_time]
    if resume:
        refuse_without_output(config, overrides)
        arguments.append("--resume")
    else:
        refuse_used(Path(loaded.output_dir))
    click.get_current_context().exit(launch_workers(arguments, workers, click.echo))


@main.command()
@with_config
@click.option("--stages", is_flag=True, help="List every stage of the backbone.")
@click.option("--phases", is_flag=True, help="Print the phases as JSON, to write into a config.")
def plan(
    config: str, overrides: tuple[str, ...], trust: tuple[str, ...], stages: bool, phases: bool
) -> None:
    """Say what CONFIG would train, when and how fast.

    It trains nothing and downloads no weights.
    """
    loaded = load(config, overrides, trust)
    start_tensorflow()
    from kft.cli.show_plan import plan_summary, stage_list
    from kft.workflows.plan import plan as plan_config

    planned = plan_config(loaded)
    if phases:
        show_json({"phases": planned.settings})
    else:
        show(stage_list(planned) if stages else plan_summary(planned))


@main.command("lr-find")
@with_config
@click.option("--phase", metavar="NAME", help="Of those in CONFIG; the first if left out.")
@click.option("--output", metavar="NAME", help="Write NAME.png and NAME.json.")
def lr_find(
    config: str,
    overrides: tuple[str, ...],
    trust: tuple[str, ...],
    phase: str | None,
    output: str | None,
) -> None:
    """Find a learning rate for a phase of CONFIG.

    It trains the phases before it, then a few steps at rates that grow, and keeps none of it.
    """
    loaded = load(config, overrides, trust)
    start_tensorflow()
    from kft.cli.show import found_rate
    from kft.workflows.lr_find import free_name, refuse_taken, write_found
    from kft.workflows.lr_find import lr_find as find

    refuse_taken(output)
    result = find(loaded, phase)
    show(found_rate(result, write_found(result, free_name(output, result.phase))))


@main.command()
@TRUST
@click.argument("run_dir")
@click.option("--format", "kind", default="saved_model", show_default=True)
@click.option("--to", metavar="FOLDER", help="Write into it.  [default: RUN_DIR/export]")
def export(run_dir: str, kind: str, to: str | None, trust: tuple[str, ...]) -> None:
    """Write the model of a run for a server, and verify it."""
    refuse_untrusted(run_dir, trust)
    start_tensorflow()
    from kft.workflows.rerun import export_run

    path, difference = export_run(run_dir, kind, to)
    click.echo(f"{path}: answers as the run does (largest difference {difference:.1e})")


@main.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors."""
    from kft.config.schema import json_schema

    show_json(json_schema())


@main.command()
@click.argument("data")
@click.option("--output", type=click.Path(path_type=Path), help="Default: DATA's name.json.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Set a key of the config.")
@TRUST
def init(
    data: str, output: Path | None, overrides: tuple[str, ...], trust: tuple[str, ...]
) -> None:
    """Write a config for DATA, and say why it is as it is.

    DATA is a folder of class folders, a table (CSV or JSON lines), an .npz file, TFRecord files, or
    a data set that tensorflow-datasets has prepared.
    """
    start_tensorflow()
    from kft.cli.show import init_summary
    from kft.workflows.init import init_config

    if trust:
        find_own_code()
    written = init_config(data, output, overrides, trust)
    show(init_summary(written))
