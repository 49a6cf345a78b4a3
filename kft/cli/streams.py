"""Output streams of any encoding: a letter that an encoding lacks ends no command."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Iterable
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

import click

from kft.messages import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# The signs that kft itself writes; of anything else, such as a name, the code is written.
IN_ASCII = {"…": "...", "→": "->", "–": "-", "²": "2", "³": "3"}


def make_writable() -> None:
    """Lets standard output and error take every text, whatever their encoding.

    That of a redirected output may be ASCII, Latin-1 or cp1252, as on Windows or in containers.
    One that is closed goes nowhere: the next file that is opened would take its place.
    """
    for number in (1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    codecs.register_error("kft", spelt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="kft")


def spelt(error: UnicodeError) -> tuple[str, int]:
    """A spelling of letters that an encoding lacks, and the position to go on from."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    written = (
        IN_ASCII.get(letter) or letter.encode("ascii", "backslashreplace").decode()
        for letter in lacking
    )
    return "".join(written), error.end


class Unfailing(FileIO):
    """A file whose writes never fail: a closed terminal or pipe ends no run."""

    def write(self, data: Any) -> int:
        """Writes what it can, and says that it was all."""
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


def progress_stream() -> TextIOWrapper:
    """Returns a copy of standard error, since TensorFlow's noise is taken off the real one."""
    encoding = sys.stderr.encoding if isinstance(sys.stderr, TextIOWrapper) else "utf-8"
    return TextIOWrapper(BufferedWriter(Unfailing(os.dup(2), "w")), encoding, "kft")


def console_on(stream: Any = None) -> Console:
    """Returns a console for `stream`, or standard output, that names of the data cannot steer."""
    from rich.console import Console
    from rich.segment import Segment

    class Literal(Console):
        def render_str(self, text: str, **named: Any) -> Text:
            return super().render_str(printable(text), **named)

        def render(self, *arguments: Any, **named: Any) -> Iterable[Segment]:
            for segment in super().render(*arguments, **named):
                yield segment if segment.control else segment._replace(text=seen(segment.text))

    return Literal(file=stream, markup=False, emoji=False, highlight=False)


def seen(text: str) -> str:
    """Returns `text` with its lines, each `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def show_error(message: object) -> None:
    """Prints a message on standard error."""
    click.echo(seen(f"Error: {message}"), err=True)


def show_json(value: object, indent: int | None = 2) -> None:
    """Prints `value` as JSON, letters as they are where the output has them all."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    click.echo(text)
