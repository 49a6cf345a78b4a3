"""Overrides of a config: ``phases.0.epochs=3``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kft.errors import ConfigError


def apply_override(
    settings: dict[str, Any], override: str, default_of: Callable[[str], Any]
) -> None:
    """Sets ``a.b=value`` in `settings`; the value is JSON, or else a word.

    `default_of` gives what stands at a key of `settings` that is not there, as JSON.
    """
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}", "has no '='", "Write it as a.b=value")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
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


def step_into(node: Any, key: str, override: str) -> Any:
    """Returns what `key` names in a list or an object, which gets one if it is not there."""
    inner = node[list_index(node, key, override)] if isinstance(node, list) else node.get(key)
    inner = {} if inner is None else inner
    if not isinstance(inner, list | dict):
        raise ConfigError(f"--set {override}", f"{key!r} is {inner!r}, not an object", "Correct it")
    if isinstance(node, dict):
        node[key] = inner
    return inner


def list_index(node: list[Any], key: str, override: str) -> int:
    """Returns `key` as a number of an entry of the list `node`."""
    if not key.isdigit() or int(key) >= len(node):
        raise ConfigError(
            f"--set {override}",
            f"{key!r} is no entry of a list of {len(node)}",
            "Give its number, counted from 0",
        )
    return int(key)
