"""What is divided: groups, and the examples that are in none."""

from __future__ import annotations

from collections.abc import Sequence


def keys_of(names: Sequence[str], groups: Sequence[str] | None) -> Sequence[str]:
    """Returns what each example is divided by: its group, or its name if that is empty."""
    if groups is None:
        return names
    return [group or name for group, name in zip(groups, names, strict=True)]


def shown_by(keys: Sequence[str], labels: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    """Returns what the examples of each key show, example by example.

    Those without a label show "", as if that were one, so that no split is without them.
    """
    shown: dict[str, list[str]] = {}
    for key, each in zip(keys, labels, strict=True):
        shown.setdefault(key, []).extend(each or ("",))
    return shown
