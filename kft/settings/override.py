"""Overrides of a config: ``phases.0.epochs=3``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kft.errors import ConfigError
from kft.messages import short_repr
from kft.settings.strict_json import oddity_in, parse


def apply_override(
    settings: dict[str, Any], override: str, default_of: Callable[[str], Any]
) -> None:
    """Sets ``a.b=value`` in `settings`; the value is JSON, or else a word.

    `default_of` gives what stands at a key of `settings` that is not there, as JSON.
    """
    path, value = path_and_value(override)
    *parents, last = path.replace("[", ".").replace("]", "").split(".")
    if parents:
        settings.setdefault(parents[0], default_of(parents[0]))
    node: Any = settings
    for key in parents:
        node = step_into(node, key, override)
    if isinstance(node, list):
        node[list_index(node, last, override)] = value
    else:
        node[last] = value


def path_and_value(override: str) -> tuple[str, Any]:
    """Returns path and value of an `override`; the value is JSON, or else a word.

    Raises:
        ConfigError: It has no ``=``, or a value that is no setting.
    """
    problem = oddity_in(override)
    if problem is not None:
        raise ConfigError(
            "--set", problem, "Write it as a.b=value, with a value that a config can hold"
        )
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}", "has no '='", "Write it as a.b=value")
    try:
        return path, parse(text)
    except json.JSONDecodeError:
        return path, text
    except ValueError as error:
        fix = "Give a JSON value without repeated keys and of ordinary depth"
        raise ConfigError(f"--set {path}", str(error), fix) from error


def step_into(node: Any, key: str, override: str) -> Any:
    """The value of `key` in a list or an object, which gets an empty object if it lacks it."""
    place: Any = list_index(node, key, override) if isinstance(node, list) else key
    there = node[place] if isinstance(node, list) else node.get(key)
    inner = {} if there is None else there
    if not isinstance(inner, list | dict):
        raise ConfigError(
            f"--set {override}",
            f"{key!r} is {short_repr(inner)}, not an object",
            f"Set {key!r} itself, or a key of an object",
        )
    node[place] = inner
    return inner


def list_index(node: list[Any], key: str, override: str) -> int:
    """Returns `key` as a number of an entry of the list `node`."""
    if not node:
        raise ConfigError(
            f"--set {override}",
            f"there is no list yet to take {key!r} of",
            "Write it in the config; `kft plan CONFIG --phases` prints the default phases",
        )
    if not re.fullmatch("[0-9]{1,9}", key) or int(key) >= len(node):
        raise ConfigError(
            f"--set {override}",
            f"{key!r} is no entry of a list of {len(node)}",
            "Give its number, counted from 0",
        )
    return int(key)
