"""JSON as people write it: no key twice, and nothing that only a program would make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from kft.messages import short_repr
from kft.settings.bounds import DEEPEST, LARGEST_NUMBER, LARGEST_WHOLE, LONGEST_TEXT, MOST_VALUES

TOO_DEEP = f"is nested more than {DEEPEST} deep"


def parse(text: str) -> Any:
    """Returns the value in a JSON text.

    Raises:
        ValueError: It is no JSON, an object has a key twice, or it is nested without end.
    """
    try:
        return json.loads(text, object_pairs_hook=object_of)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error


def object_of(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object, or raises ValueError where a key would silently win over another."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"an object has the key {short_repr(key)} twice")
        made[key] = value
    return made


def oddity_in(settings: Any) -> str | None:
    """The first value that no setting can have, such as ``phases[0].name: holds …``."""
    pending: list[tuple[str, int, Any]] = [("", 0, settings)]
    count = 0
    while pending:
        place, depth, value = pending.pop()
        count += 1
        if count > MOST_VALUES:
            return f"holds more than {MOST_VALUES} keys and values"
        problem = TOO_DEEP if depth > DEEPEST else problem_of(value)
        if problem is not None:
            return f"{place.removeprefix('.')}: {problem}" if place else problem
        pending.extend((place + step, depth + 1, inner) for step, inner in inside(value))
    return None


def inside(value: Any) -> Iterator[tuple[str, Any]]:
    """Yields what lies in an object or a list, its keys too, each with the step that leads there.

    Components are taken as they are.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield "", key
            yield f".{key}" if str(key).isidentifier() else f"[{short_repr(key)}]", inner
    elif isinstance(value, list | tuple):
        yield from ((f"[{number}]", inner) for number, inner in enumerate(value))


def problem_of(value: Any) -> str | None:
    """The reason why a text or a number can be no setting; None if it may be one."""
    if isinstance(value, str):
        return problem_of_text(value)
    if not isinstance(value, int | float):
        return None
    most = LARGEST_WHOLE if isinstance(value, int) else LARGEST_NUMBER
    if most < abs(value) < float("inf"):
        return f"is {Decimal(value):.2e}, expected a number up to {most:g}"
    return None


def problem_of_text(text: str) -> str | None:
    """The reason why `text` can be no name, path or pattern; None if it may be one."""
    if len(text) > LONGEST_TEXT:
        return f"has {len(text)} characters, expected up to {LONGEST_TEXT}"
    if "\0" in text:
        return f"holds the character NUL: {short_repr(text)}"
    return problem_of_characters(text)


def problem_of_characters(text: str) -> str | None:
    """The reason why `text` cannot be written as UTF-8; None if it can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"holds half a character, {text[error.start]!r}: {short_repr(text)}"
    return None
