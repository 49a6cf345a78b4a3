"""Names, numbers and lists as people read them in messages."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import normalize

# Surrogates by which Python does not stand for a byte of a file name.
UNPAIRED = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")
# Control characters, and all at which `str.splitlines` begins a line.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# More names than these are not listed in a message, but a few of them.
MANY = 40
A_FEW = 10
# To look for names like another takes time: of more or longer ones, only an equal one is found.
COMPARED = 10_000
LONGEST_COMPARED = 200
# Characters of a name in a message.
LONGEST_NAMED = 300
# Letters of a class name in a figure.
LONGEST = 31


def natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """A sorting key by which ``b2`` comes before ``B10``, on every system alike.

    Runs of the digits 0 to 9 count as numbers; letters go by code point, whatever their case and
    Unicode form.
    """
    parts = re.split("([0-9]+)", canonical(name.casefold()))
    return [by_value(part) if number % 2 else part for number, part in enumerate(parts)], name


def by_value(digits: str) -> tuple[int, str]:
    """A sorting key of a number; Python's `int` takes no more than 4,300 digits."""
    significant = digits.lstrip("0")
    return len(significant), significant


def quoted(names: Sequence[str] | Mapping[str, object], most: int = 10) -> str:
    """Names in quotes, cut after `most` of them."""
    first = list(names)[:most]
    return listed([short_repr(name, LONGEST_NAMED) for name in first], most, len(names))


def short_repr(value: object, most: int = 60) -> str:
    """`value` as Python writes it, cut after so many characters."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


def listed(texts: Sequence[str], most: int = 10, count: int | None = None) -> str:
    """Texts, cut after `most` of them; there are `count` if these are but the first."""
    more = (len(texts) if count is None else count) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def clauses(texts: Sequence[str], most: int) -> str:
    """Clauses, cut after `most` of them."""
    more = len(texts) - most
    return "; ".join(texts[:most]) + (f"; and {more} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """A number of things, such as ``1 file`` or ``2 files``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def in_words(size: int) -> str:
    """A number of bytes for people, such as ``5.1 MB``."""
    power = min(4, int(math.log10(max(size, 1)) // 3))
    unit = ("bytes", "kB", "MB", "GB", "TB")[power]
    return f"{size} {unit}" if power == 0 else f"{size / 1000**power:.1f} {unit}"


def printable(name: str) -> str:
    r"""`name` on one line that any file can hold; the rest is escaped, such as ``\n``."""
    if name.isprintable():
        return name
    text = UNPAIRED.sub(escape, name)
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return CONTROLS.sub(escape, text)


def escape(match: re.Match[str]) -> str:
    """The escapes of the characters that were found."""
    return match[0].encode("unicode_escape").decode()


def closest(word: str, known: Iterable[str]) -> str:
    """``. Did you mean 'x'?``, or ``. Known: …`` where nothing known is near `word`."""
    choices = sorted(known)
    if not choices:
        return ""
    near = [name for name in choices if name.casefold() == word.casefold()]
    if not near and len(choices) <= COMPARED and len(word) <= LONGEST_COMPARED:
        near = difflib.get_close_matches(word, choices, n=1)
    if near:
        return f". Did you mean {near[0]!r}?"
    if len(choices) <= MANY:
        return f". Known: {', '.join(choices)}"
    return f". Known: {', '.join(choices[:A_FEW])} and {len(choices) - A_FEW} more"


def one_line(error: Exception) -> str:
    """The message of `error` on one line of at most 300 letters, without a full stop.

    The graph node and op that TensorFlow adds are left out, since users do not know them.
    """
    text = re.sub(r"\{\{.*?\}\} |\[Op:\w+\] name:", "", " ".join(str(error).split()))
    return text[:300].rstrip(". ")


def shortened(text: str, most: int = LONGEST) -> str:
    """A `printable` text, without its middle if it has more than `most` letters."""
    if len(text) > most:
        half = (most - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return printable(text)


def canonical(name: str) -> str:
    """`name` as every system has it: printable, with letters and their accents composed.

    macOS may hand them out apart.
    """
    return normalize("NFC", printable(name))


def asserted(message: str) -> str:
    """What an assertion in a graph says, without the brackets that TensorFlow puts around it."""
    found = re.fullmatch(r"assertion failed: \[(.*)\]", message)
    return message if found is None else found[1].replace("] [", " ")
