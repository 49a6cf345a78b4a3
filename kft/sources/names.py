"""Names of classes and examples: on one line, in one Unicode form, and how they differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from unicodedata import category, combining, normalize

from kft.messages import canonical

# Notes of names that look alike.
NOTED = 10


def spelled_out(name: str) -> str:
    """`name` in quotes, with escapes for all that could be written in another way."""
    return "".join(
        char.encode("unicode_escape").decode()
        if combining(char) or normalize("NFKD", char) != char
        else char
        for char in repr(name)
    )


def appearance(name: str) -> str:
    """`name` without case, width, invisible characters and blanks at its ends."""
    text = normalize("NFKC", normalize("NFKC", name).casefold())
    return " ".join("".join(char for char in text if category(char) != "Cf").split())


def quoted_apart(names: Sequence[str]) -> list[str]:
    """`names` in quotes; spelled out if some of them would look the same otherwise."""
    forms = {normalize("NFKC", name) for name in names}
    return [*map(repr if len(forms) == len(names) else spelled_out, names)]


def alike_notes(names: Iterable[str]) -> Iterator[str]:
    """Yields a note for `names` that look alike."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(appearance(name), []).append(name)
    for group in [group for group in groups.values() if len(group) > 1][:NOTED]:
        yield f"{' and '.join(quoted_apart(group))} look alike: are they the same?"


def known_as(labels: Iterable[str], names: Sequence[str]) -> Mapping[str, str]:
    """The one of `names` that each of `labels` is, in any Unicode form, unknown ones left out."""
    forms = {canonical(name): name for name in names} | {name: name for name in names}
    found = {label: forms.get(label) or forms.get(canonical(label)) for label in {*labels}}
    return {label: name for label, name in found.items() if name is not None}
