"""Commands on streams that lack letters, are closed, or are given letters that steer a terminal."""

import json
import os
import subprocess
import sys

import pytest

from kft.cli.command import show
from kft.cli.show import table

ODD = "日本 → $5_$10…"


def kft(folder, encoding: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Runs ``kft`` with outputs of an encoding."""
    return subprocess.run(
        [sys.executable, "-m", "kft", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )


def prints(encoding: str, code: str) -> bytes:
    """What code prints after the streams were made writable."""
    start = "from kft.cli.streams import *; make_writable(); "
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    return done.stdout + done.stderr


LETTERS = "R² é → … – 日"
LATIN = b"R\xb2 \xe9 -> ... - \\u65e5"
WINDOWS = b"R\xb2 \xe9 -> \x85 \x96 \\u65e5"


@pytest.mark.parametrize(
    ("encoding", "write", "written"),
    [
        ("latin-1", "click.echo({0!r})", LATIN),
        ("cp1252", "click.echo({0!r}, err=True)", WINDOWS),
        ("ascii", "click.echo({0!r})", LETTERS.encode()),  # click writes UTF-8 in place of ASCII
        ("utf-8", "console_on().print({0!r})", LETTERS.encode()),
        ("latin-1", "console_on().print({0!r})", LATIN),
        ("cp1252", "console_on().print({0!r})", WINDOWS),
        ("ascii", "console_on().print({0!r})", b"R2 \\xe9 -> ... - \\u65e5"),
    ],
)
def test_letters_that_an_output_lacks_are_written_otherwise(encoding, write, written):
    assert prints(encoding, write.format(LETTERS)).strip() == written


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_progress_is_shown_in_the_encoding_of_standard_error(encoding):
    code = (
        "from kft.progress import say, shown_on\n"
        "with progress_stream() as stream, shown_on(console_on(stream)): say('é \\udcff')"
    )

    letter = "\\xe9" if encoding == "ascii" else "é"
    assert prints(encoding, code).decode(encoding).strip() == f"{letter} \\xff"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_errors_of_any_text_are_told(tmp_path, encoding):
    done = kft(tmp_path, encoding, "run", f"{ODD}.json")
    unknown = kft(tmp_path, encoding, f"pl→{ODD}")

    assert (done.returncode, unknown.returncode) == (2, 2)
    assert done.stderr.startswith(b"Error: ")
    assert b"No such command" in unknown.stderr


def test_json_keeps_every_letter_whatever_the_encoding():
    for encoding in ("ascii", "cp1252", "utf-8"):
        output = prints(encoding, f"show_json({{'name': {ODD!r} + '\\udcff'}})")
        assert json.loads(output.decode(encoding)) == {"name": ODD + "\udcff"}


def test_names_in_a_table_cannot_steer_a_terminal(capsys):
    shown = table("class", "examples")
    shown.add_row("<b>\x1b[31m%s{}[bold]", "3")
    shown.add_row("a\nb", "4")

    show(shown)

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["class", "examples"], ["<b>\\x1b[31m%s{}[bold]", "3"], ["a\\nb", "4"]]


def test_progress_goes_on_when_nobody_reads_it_any_more():
    read, write = os.pipe()
    os.close(read)
    code = (
        "from kft.progress import say, shown_on\n"
        "with progress_stream() as stream, shown_on(console_on(stream)): say('a'); say('b')\n"
        "print('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"from kft.cli.streams import *; make_writable(); {code}"],
        stdout=subprocess.PIPE,
        stderr=write,
        check=True,
    )
    os.close(write)

    assert done.stdout == b"done\n"


def test_closed_outputs_end_no_command(tmp_path):
    command = f"exec {sys.executable} -m kft schema >&- 2>&-"

    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False).returncode == 0
