"""The layout of a data folder, which gives the class and perhaps the split of each file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kft.messages import printable

if TYPE_CHECKING:
    from kft.sources.splitting.split_rule import SplitRule


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
        """The smallest number of folders that lead to a file."""
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


def find_layout(inner: Mapping[str, set[str]], rule: SplitRule) -> Layout:
    """Returns the layout of a data folder, of which `inner_folders` gave what is in it.

    Folders are splits if `rule` names them, or if it names none, by the usual words where two of
    them stand side by side, or ``train`` is alone. So ``train`` beside ``bus`` is a class.
    """
    splits = {top: split for top in inner if (split := rule.split_called(top))}
    return Layout(splits if rule.names is not None or are_splits(inner, splits) else {})


def are_splits(inner: Mapping[str, set[str]], splits: Mapping[str, str]) -> bool:
    """Says whether folders with the usual words for `splits` are that, not classes."""
    if "train" in splits.values():
        return len(splits) > 1 or len(inner) == 1
    held = Counter(folder for top in splits for folder in inner[top])
    return len(splits) > 1 and (len(splits) == len(inner) or max(held.values(), default=0) > 1)


def inner_folders(tops: Sequence[str], paths: Sequence[str]) -> dict[str, set[str]]:
    """Returns the folders directly in each of `tops` that lead to one of `paths`."""
    inner: dict[str, set[str]] = {top: set() for top in tops}
    for path in paths:
        folders = path.split("/")[:-1]
        if len(folders) > 1:
            inner[folders[0]].add(folders[1])
    return inner
