"""Parsers of table cells. Each raises ValueError with what is wrong with the cell."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from kft.messages import printable, quoted
from kft.settings.strict_json import problem_of_text
from kft.sources.splitting.split_rule import SplitRule

# The square of a difference of such values is still finite as float32.
LARGEST = 1e18


def text_in(cell: Any) -> str:
    """Returns the text of a cell, which must have one."""
    if cell in ("", None):
        raise ValueError("is empty")
    if isinstance(cell, list | dict):
        raise ValueError(f"is {json.dumps(cell)[:60]}, expected one text")
    return checked(str(cell))


def checked(text: str) -> str:
    """Returns `text` if it can be a name or a path."""
    problem = problem_of_text(text)
    if problem is not None:
        raise ValueError(problem)
    return text


def number_in(cell: Any) -> float:
    """Returns the number in a cell, of no more than `LARGEST`."""
    text = text_in(cell)
    try:
        number = as_float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < LARGEST:
        hint = ", which needs a point for its comma" if text.count(",") == 1 else ""
        raise ValueError(f"is {text!r}, no number that can be learned{hint}")
    return number


def as_float(text: str) -> float:
    """Returns the number that `text` is, or raises ValueError.

    Python would take ``1_0``, which is rather a name, for 10.
    """
    return float("nan" if "_" in text else text)


def is_number(text: str) -> bool:
    """Says whether a cell is a number."""
    try:
        return as_float(text) == as_float(text)
    except ValueError:
        return False


def weight_in(cell: Any) -> float:
    """Returns the weight in a cell."""
    weight = number_in(cell)
    if weight < 0:
        raise ValueError(f"is {cell}, expected 0 or more")
    return weight


def split_in(rule: SplitRule) -> Callable[[Any], str]:
    """A reader of the split in a cell, which `rule` names."""
    split_called = functools.cache(rule.split_called)

    def read(cell: Any) -> str:
        split = split_called(text_in(cell))
        if split is None:
            expected = "train, validation or test; data.split.names can name others"
            if rule.names is not None:
                expected = f"{quoted(rule.names)}, as data.split.names says"
            raise ValueError(f"is {cell!r}, expected {expected}")
        return split

    return read


def flag_in(cell: Any) -> bool:
    """Whether a cell says yes: 0 or 1, true or false."""
    text = text_in(cell).lower()
    flags = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
    if text not in flags:
        raise ValueError(f"is {text!r}, expected 0 or 1")
    return flags[text]


def group_in(cell: Any) -> str:
    """Returns the group in a cell; an empty one is none."""
    return "" if cell in ("", None) else text_in(cell)


def labels_in(separator: str) -> Callable[[Any], tuple[str, ...]]:
    """A parser of all labels in a cell, a text or a list; an empty cell has none."""

    def read(cell: Any) -> tuple[str, ...]:
        if cell in ("", None, []):
            return ()
        listed = cell if isinstance(cell, list) else text_in(cell).split(separator)
        labels = [printable(checked(str(label).strip())) for label in listed]
        if "" in labels:
            raise ValueError(f"is {cell!r}, in which a label is empty")
        return tuple(dict.fromkeys(labels))

    return read
