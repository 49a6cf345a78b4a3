"""``kft predict``: what a model answers to files, as a table, JSON lines or a CSV."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from kft.cli.command import TRUST, start_tensorflow
from kft.cli.streams import show_error

if TYPE_CHECKING:
    from io import BufferedReader

    from kft.cli.show_predictions import Output
    from kft.workflows.predict import Answered, Predictor

STANDARD_INPUT = "-"
# Bytes that are read of it at most before what they name is predicted.
CHUNK = 2**16
# Classes of each in a table or CSV.
SHOWN = 3
# From so many examples on, a bar says how far it is.
MANY = 33


@click.command()
@TRUST
@click.argument("model")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON lines, each as soon as it is there."
)
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), metavar="OUT", help="Write a CSV file."
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    help=f"Classes to show of each.  [default: {SHOWN}; all with --json]",
)
@click.option("--column", metavar="NAME", help="Of a table: the one that names the files.")
def predict(  # noqa: PLR0913
    model: str,
    files: tuple[str, ...],
    as_json: bool,
    csv_file: Path | None,
    top: int | None,
    column: str | None,
    trust: tuple[str, ...],
) -> None:
    """Predict FILES with the model of a run.

    MODEL is the directory of a run, or a SavedModel. FILES are files, folders with all files
    below them, tables that name files, quoted patterns such as 'new/**/*.jpg', or - to read such
    names from standard input, one a line.
    """
    from kft.cli.prediction_file import PredictionFile, refuse_taken

    if csv_file is not None:
        refuse_taken(csv_file)
    start_tensorflow()
    from kft.cli.show_predictions import JsonLines, PredictionTable
    from kft.saved_model.safety import SAVED_MODEL
    from kft.workflows.predict import Predictor

    predictor = Predictor(model, SAVED_MODEL in trust, column)
    outputs: list[Output] = [JsonLines(top)] if as_json else []
    if csv_file is not None:
        outputs.append(PredictionFile(csv_file, top or SHOWN))
    is_whole = write(answered(predictor, files), outputs or [PredictionTable(top or SHOWN)])
    click.get_current_context().exit(0 if is_whole else 1)


def write(answered: "Iterable[Answered]", outputs: "list[Output]") -> bool:
    """Gives what is `answered` to `outputs`, and says whether all could be read."""
    from kft.workflows.predict import Prediction

    count = unread = 0
    try:
        for count, each in enumerate(answered, start=1):  # noqa: B007
            if isinstance(each, Prediction):
                for output in outputs:
                    output.add(each)
            else:
                unread += 1
                show_error(f"{each.name}: cannot be read: {each.reason}.")
    finally:
        for output in outputs:
            output.end()
    if not count:
        show_error("standard input: names no file. Give a name in each line.")
    return bool(count) and not unread


def answered(predictor: "Predictor", files: Iterable[str]) -> "Iterator[Answered]":
    """Yields what is answered to `files`, showing how far it is; standard input as it comes."""
    from kft.progress import track

    for names in (names for file in files for names in names_of(file)):
        found = [*predictor.found(names)]
        answers = predictor.answered(found)
        yield from answers if len(found) < MANY else track(answers, "Predicting", len(found))


def names_of(file: str) -> Iterator[list[str]]:
    """Yields `file`, or the names on standard input, as many at a time as are there."""
    if file != STANDARD_INPUT:
        yield [file]
        return
    stream, rest = cast("BufferedReader", sys.stdin.buffer), b""
    while chunk := stream.read1(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield [*names_in(lines)]
    yield [*names_in([rest])]


def names_in(lines: Iterable[bytes]) -> Iterator[str]:
    """Yields the names in lines, of which some may be blank; those of Windows end in CR."""
    for line in lines:
        if name := os.fsdecode(line.removesuffix(b"\r")):
            yield name
