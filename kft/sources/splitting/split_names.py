"""The names that data has for its splits: the usual words, or as a config says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from kft.errors import DataError
from kft.messages import canonical, quoted

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
USUAL: Mapping[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "development": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
}


def usual_split(name: str) -> SplitName | None:
    """The split that usually has this name, such as ``Training`` or ``test_set``, if one has."""
    word = re.sub(r"[\s_-]", "", name.casefold())
    return USUAL.get(re.sub("(set|data)$", "", word))


def own_split(name: str, names: Mapping[str, SplitName]) -> SplitName | None:
    """The split that `names` say, in any case and Unicode form, that `name` is."""
    own = {folded(key): split for key, split in names.items()}
    return own.get(folded(name))


def folded(name: str) -> str:
    """`name` without case, Unicode form, and blanks at its ends."""
    return canonical(name.strip().casefold())


def one_each(where: str, splits: Mapping[str, str]) -> None:
    """Refuses two usual words for one split: nothing says that they are the same."""
    for split in SPLITS:
        words = [name for name, held in splits.items() if held == split]
        if len(words) > 1:
            raise DataError(
                where=where,
                problem=f"has more than one name for {split}: {quoted(words)}",
                fix="Say in data.split.names which of its names is which split, such as "
                f"--set data.split.names.{words[0]}={split}, and leave out what is none",
            )
