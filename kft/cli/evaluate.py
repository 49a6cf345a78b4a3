"""``kft evaluate``: scores a run again, or on other examples."""

import click

from kft.cli.command import TRUST, refuse_untrusted, show, start_tensorflow
from kft.cli.streams import show_error, show_json


@click.command()
@TRUST
@click.argument("run_dir")
@click.argument("data", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print all scores as JSON.")
@click.option(
    "--assert",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Fail unless it holds, such as 'accuracy>=0.95' or 'per_class.cat.recall>0.9'.",
)
def evaluate(
    run_dir: str,
    data: str | None,
    as_json: bool,
    conditions: tuple[str, ...],
    trust: tuple[str, ...],
) -> None:
    """Score a run again, or on the folder or table DATA."""
    from kft.scoring.assertion import Assertion, failures

    assertions = [Assertion.of(condition) for condition in conditions]
    refuse_untrusted(run_dir, trust)
    start_tensorflow()
    from kft.cli.show import score_table
    from kft.workflows.rerun import evaluate_run

    scores = evaluate_run(run_dir, data)
    if as_json:
        show_json(scores)
    else:
        show(score_table(scores))
    failed = failures(assertions, scores)
    for failure in failed:
        show_error(f"{failure}.")
    click.get_current_context().exit(1 if failed else 0)
