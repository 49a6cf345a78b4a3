"""Assigns examples to splits where the data does not say them.

The rule is blind to modality and layout: every source that has names and labels can use it.
"""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from kft.errors import DataError
from kft.messages import canonical, listed
from kft.settings.component import AbsolutePath, Pattern, Settings
from kft.sources.splitting.split_names import SplitName, own_split, usual_split

if TYPE_CHECKING:
    import numpy as np


# Classes in a message.
NAMED = 10


class SplitRule(Settings):
    r"""Shares of the examples that are kept away from training, or a list that says them all.

    Attributes:
        validation: Share that picks the best epoch.
        test: Share held out for the report; 0 makes no test split.
        group: A regular expression that finds the group of an example in its name, the path
            below the data folder: what its parentheses hold, as in ``patient_(\d+)``, or all that
            it matches. All examples of a group are in one split.
        manifest: The ``split.csv`` of an earlier run, or another CSV with the columns ``path``
            and ``split``. It names every example, and its splits are taken; the shares are
            unused.
        names: What the data calls its splits, such as ``{"Lern": "train", "Pruef": "test"}``: a
            folder, a cell of the split column, the ending of an array, or a split of
            tensorflow-datasets. Left out, the usual words; ``{}`` is none, so that all folders
            are classes.
    """

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    test: Annotated[float, Field(ge=0, lt=1)] = 0.15
    group: Pattern | None = None
    manifest: AbsolutePath | None = None
    names: dict[str, SplitName] | None = None

    @model_validator(mode="after")
    def _group_once(self) -> Self:
        if self.group is not None and self.manifest is not None:
            raise PydanticCustomError(
                "two_groups", "has both 'group' and 'manifest', which lists the groups. Remove one"
            )
        return self

    @model_validator(mode="after")
    def _leave_some_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise PydanticCustomError(
                "no_train_split",
                f"validation {self.validation} and test {self.test} leave nothing to train on; "
                "their sum should be less than 1",
            )
        return self

    def split_called(self, name: str) -> SplitName | None:
        """Returns the split that the data calls `name`, if it calls one so."""
        return usual_split(name) if self.names is None else own_split(name, self.names)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Returns for each split the places in [0, 1) that belong to it."""
        held_out = self.test + self.validation
        ranges = {"validation": (self.test, held_out), "train": (held_out, 1.0)}
        return {"test": (0.0, self.test)} | ranges if self.test else ranges


def assign(
    names: Sequence[str],
    labels: Sequence[tuple[str, ...]],
    rule: SplitRule,
    seed: int,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Returns the split of each example: ``train``, ``validation`` or ``test``, ``(n,)``.

    `labels` are the classes that each example shows: one, several or none. An example's place is
    a hash of `seed` and its name, so others that come or go do not move it. With `groups` it is
    the hash of its group, if that is not empty, and each group is in one split. Where a split has
    no example of a class, a split that has two or more gives up the one with the nearest hash.
    Only such an example can ever move: back, once the split has one of its own. A class with
    fewer examples (or groups) than there are splits has one in train at least, and still lacks
    some; see `require_every_class`.
    """
    import numpy as np

    keys = names
    if groups is not None:
        keys = [group or name for group, name in zip(groups, names, strict=True)]
    places = {key: place(key, seed) for key in keys}
    classes: dict[str, set[str]] = {key: set() for key in places}
    for key, shown in zip(keys, labels, strict=True):
        classes[key].update(shown)
    if not any(classes.values()):
        classes = {key: {""} for key in places}  # as if of one class, so that no split is empty
    chosen = {
        key: next(split for split, (_, end) in rule.ranges().items() if at < end)
        for key, at in places.items()
    }
    Gaps(chosen, places, classes, rule).fill()
    return np.array([chosen[key] for key in keys], dtype="<U10")


def place(key: str, seed: int) -> float:
    """The hash of a name or group, in [0, 1); the same on every machine and system."""
    text = unicodedata.normalize("NFC", f"{seed}/{key}")
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    # A float holds 53 bits: more would round up to 1.0.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


class Gaps:
    """Splits that have no example of some class, and what fills them.

    `chosen` holds the split of each key, an example or a group, and changes; `places` what `place`
    gives for it.
    """

    def __init__(
        self,
        chosen: dict[str, str],
        places: Mapping[str, float],
        classes: Mapping[str, set[str]],
        rule: SplitRule,
    ) -> None:
        self._chosen, self._places, self._classes = chosen, places, classes
        self._ranges = rule.ranges()
        self._held = holders(classes)
        self._counts = Counter(
            (label, chosen[key]) for label, keys in self._held.items() for key in keys
        )

    def fill(self) -> None:
        """Gives every split an example of every class, where it can be; to train in any case.

        Nothing else could learn it.
        """
        # In the same order whichever Unicode form the labels have.
        labels = sorted(sorted(self._held), key=canonical)
        for label, split in itertools.product(labels, self._ranges):
            if not self._counts[label, split]:
                self._give(self._spare(label), split)
        for label in labels:
            if not self._counts[label, "train"]:
                self._give(self._held[label], "train")

    def _spare(self, label: str) -> list[str]:
        """Returns the keys without which their own split lacks no class."""
        return [
            key
            for key in self._held[label]
            if all(self._counts[shown, self._chosen[key]] > 1 for shown in self._classes[key])
        ]

    def _give(self, keys: Sequence[str], split: str) -> None:
        """Moves the nearest of `keys`, if there is one, to `split`."""
        start, end = self._ranges[split]
        places = self._places
        away = {key: max(start - places[key], places[key] - end) for key in keys}
        for key in sorted(keys, key=lambda key: (away[key], key))[:1]:
            self._counts.subtract((label, self._chosen[key]) for label in self._classes[key])
            self._counts.update((label, split) for label in self._classes[key])
            self._chosen[key] = split


def holders(classes: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Returns the keys that show each class."""
    held: dict[str, list[str]] = {}
    for key, labels in classes.items():
        for label in labels:
            held.setdefault(label, []).append(key)
    return held


def require_every_class(
    where: str,
    labels: Sequence[tuple[str, ...]],
    assigned: Sequence[str] | np.ndarray,
    rule: SplitRule,
    groups: Sequence[str] | None = None,
) -> None:
    """Refuses what `assign` gave if a split has no example of some class.

    Raises:
        DataError: Names every such class with its number of examples, or of `groups`.
    """
    there = {
        (label, str(to)) for shown, to in zip(labels, assigned, strict=True) for label in shown
    }
    splits = tuple(rule.ranges())[::-1]
    keys = [group or at for at, group in enumerate(groups or [""] * len(labels))]
    held = {(label, key) for key, shown in zip(keys, labels, strict=True) for label in shown}
    counts = Counter(label for label, _ in held)
    small = [
        f"{label!r} has {count}"
        for label, count in sorted(counts.items())
        if any((label, split) not in there for split in splits)
    ]
    if small:
        fewer = "set data.split.test to 0, " if "test" in splits else ""
        what = "examples" if groups is None else "groups with examples"
        raise DataError(
            where=where,
            problem=f"too few {what} of a class to have one each for {', '.join(splits)}: "
            f"{listed(small, NAMED)}",
            fix=f"Add {what.split()[0]} until each class has {len(splits)} or more, {fewer}or move "
            "these classes out of the data",
        )
