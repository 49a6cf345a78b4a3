"""Turns the errors that pydantic finds in a config into messages in the words of JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import ValidationError

LONGEST_GOT = 60
# Faults in a message.
LISTED = 20
# Faults of one object that are looked at.
MOST_FAULTS = 100


def problem_and_fix(error: ValidationError) -> tuple[str, str]:
    """The number of settings that are wrong, and a line for each."""
    faults = [describe(dict(fault)) for fault in error.errors() if not is_echo(dict(fault))]
    or_more = " or more" if error.error_count() >= MOST_FAULTS else ""
    count = "a setting is" if len(faults) == 1 else f"{len(faults)}{or_more} settings are"
    more = [f"and {len(faults) - LISTED} more"] if len(faults) > LISTED else []
    lines = "".join(f"\n  {line}" for line in (*faults[:LISTED], *more))
    return f"{count} wrong", f"Correct:{lines}\n`kft schema` knows every key"


def is_echo(fault: dict[str, Any]) -> bool:
    """Says whether `fault` only repeats others.

    A list counts as too short without its wrong entries; a union reports each of its types.
    """
    kind, value, place = fault["type"], fault["input"], fault["loc"] or ("",)
    if kind == "too_short":
        return bool(value)
    other_type = {"literal_error": dict, "dict_type": str}.get(kind)
    return "[" in str(place[-1]) and other_type is type(value)


def describe(fault: dict[str, Any]) -> str:
    """Returns one pydantic fault as ``phases[1].epochs: should be … (got 0)``."""
    # Pydantic puts the branches of a union, such as literal['best'], between the keys.
    steps = [step for step in fault["loc"] if isinstance(step, int) or "[" not in step]
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    message = in_json_words(fault["msg"]) + got(fault)
    return f"{where.removeprefix('.')}: {message}" if where else message


def in_json_words(message: str) -> str:
    """Returns a `message` of pydantic without the words of Python."""
    message = re.sub(r"^(Input|String|Tuple|Dictionary) ", "", message).replace(
        "Field required", "is missing"
    )
    message = re.sub(r"a valid dictionary( or instance of \w+)?$", "an object", message)
    return message.replace("a valid tuple", "a list").replace(" after validation", "")


def got(fault: dict[str, Any]) -> str:
    """Returns the value at fault, where the message would not be clear without it."""
    value, is_type = fault["input"], fault["type"].endswith("_type")
    if fault["type"] == "missing" or (isinstance(value, dict | list) and not is_type):
        return ""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f" (got {text if len(text) <= LONGEST_GOT else text[:LONGEST_GOT] + '…'})"
