"""How a folder says the class and, if it does, the split of each file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kft.errors import DataError
from kft.sources.names import canonical, printable

SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}


class Example(NamedTuple):
    """One file with a class.

    Attributes:
        name: Its path, relative to the data folder.
        label: The name of its class, printable.
        split: What its folder says, or None if folders say only classes.
    """

    name: str
    label: str
    split: str | None


@dataclass(frozen=True)
class Layout:
    """Class folders, or split folders with class folders in them.

    Attributes:
        splits: The split that each split folder holds; empty if there are only class folders.
    """

    splits: Mapping[str, str]

    @property
    def depth(self) -> int:
        """How many folders lead to a file at least."""
        return 2 if self.splits else 1

    def example(self, path: str) -> Example | None:
        """Returns the example that the file at `path` is, or None if it lies in no class folder."""
        folders = path.split("/")[:-1]
        if len(folders) < self.depth:
            return None
        if not self.splits:
            return Example(path, printable(folders[0]), None)
        if folders[0] not in self.splits:
            return None
        return Example(path, printable(folders[1]), self.splits[folders[0]])

    def classes_at(self, folders: Sequence[str]) -> list[str]:
        """Returns those of `folders` that stand for a class, such as ``train/cats``."""
        return [
            folder
            for folder in folders
            if folder.count("/") == self.depth - 1
            and (not self.splits or folder.split("/")[0] in self.splits)
        ]


def find_layout(where: str, tops: Sequence[str]) -> Layout:
    """Returns the layout of a data folder in which the folders `tops` lie.

    They are splits if one is ``train`` and another is a split too, or ``train`` is alone. So
    ``train`` beside ``bus`` and ``tram`` is a class.

    Raises:
        DataError: Two folders hold one split, or there are splits but no ``train``.
    """
    splits = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    held = list(splits.values())
    if "train" not in held:
        if len(tops) > 1 and len(splits) == len(tops):
            raise DataError(
                where=where,
                problem=f"has the split folders {quoted(splits)}, but no 'train'",
                fix="Add a folder 'train', with one folder for each class in it",
            )
        return Layout({})
    if len(held) == 1 and len(tops) > 1:
        return Layout({})
    for split in dict.fromkeys(held):
        folders = [top for top in splits if splits[top] == split]
        if len(folders) > 1:
            raise DataError(
                where=where,
                problem=f"has more than one folder for {split}: {quoted(folders)}",
                fix="Keep one of them",
            )
    return Layout(splits)


def natural(name: str) -> tuple[list[str | int], str]:
    """Returns a sorting key by which ``b2`` comes before ``B10``, on every system alike.

    Runs of the digits 0 to 9 count as numbers; letters go by code point, whatever their case and
    Unicode form.
    """
    parts = re.split("([0-9]+)", canonical(name.casefold()))
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], name


def quoted(names: Sequence[str] | Mapping[str, object], most: int = 10) -> str:
    """Returns `names` for a message, cut after `most` of them."""
    return listed([*map(repr, names)], most)


def listed(texts: Sequence[str], most: int = 10) -> str:
    """Returns `texts` for a message, cut after `most` of them."""
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """Returns such as ``1 file`` or ``2 files``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
