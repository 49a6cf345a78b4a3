"""Assigns examples to splits where the data does not say them.

The rule is blind to modality and layout: every source that has names and labels can use it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from kft.errors import DataError
from kft.messages import listed
from kft.settings.component import AbsolutePath, Pattern, Settings
from kft.sources.splitting.by_hash import Gaps, by_hash, place
from kft.sources.splitting.keys import keys_of, shown_by
from kft.sources.splitting.split_names import SplitName, own_split, usual_split
from kft.sources.splitting.stratified import deal, fill

if TYPE_CHECKING:
    import numpy as np


# Classes in a message.
NAMED = 10


class SplitRule(Settings):
    r"""Shares of the examples that are kept away from training, or a list that says them all.

    Attributes:
        validation: Share that picks the best epoch.
        test: Share held out for the report; 0 makes no test split.
        method: With ``stratified`` each split has its share of each class, rounded down or up, so
            that the splits have their shares of all examples, too; groups come as near as they
            can. With ``hash`` a hash of its name alone says where an example is, so that
            no other moves it, and the shares vary by chance.
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
    method: Literal["stratified", "hash"] = "stratified"
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

    def shares(self) -> dict[str, Fraction]:
        """Returns the share of each split as it is written: as a float, 0.29 is a little less."""
        held_out = {"test": Fraction(str(self.test)), "validation": Fraction(str(self.validation))}
        shares = held_out | {"train": 1 - sum(held_out.values(), Fraction())}
        return {split: share for split, share in shares.items() if share}

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

    `labels` are the classes that each example shows: one, several or none. Of `groups`, those that
    are not empty are each in one split. Where a split has no example of a class, a split that has
    two or more gives up the one with the nearest hash. A class with fewer examples (or groups) than
    there are splits has one in train at least, and still lacks some; see `require_every_class`.
    """
    import numpy as np

    keys = keys_of(names, groups)
    shown = shown_by(keys, labels)
    places = {key: place(key, seed) for key in shown}
    if rule.method == "hash":
        chosen = by_hash(places, rule.ranges())
    else:
        splits, shares = zip(*rule.shares().items(), strict=True)
        is_grouped = len(shown) < len(names)
        numbers = deal(shown, places, shares) if is_grouped else fill(shown, places, shares, seed)
        chosen = {key: splits[number] for key, number in numbers.items()}
    Gaps(chosen, places, shown, rule.ranges()).fill()
    return np.array([chosen[key] for key in keys], dtype="<U10")


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
            fix=f"Add {what.split()[0]} until each class has {len(splits)} or more, {fewer}or "
            "leave these classes out, as data.classes can",
        )
