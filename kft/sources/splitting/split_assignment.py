"""Divides the examples of any source into training, validation and test."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kft.data import Split, Splits, Target
from kft.errors import DataError
from kft.input import Input
from kft.messages import canonical, listed, natural, quoted
from kft.sources.names import alike_notes, quoted_apart
from kft.sources.splitting.manifest import read_manifest
from kft.sources.splitting.split_names import SPLITS
from kft.sources.splitting.split_rule import SplitRule, assign, require_every_class

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Examples:
    """All examples before they are divided, in one order.

    Attributes:
        where: What a message calls the data, such as ``data.path '…'``.
        names: All different, and the same whenever the data is read.
        labels: The classes that each example shows: one, several, or none if it has a value.
        groups: What belongs together, such as the patient; empty is nothing. None is no groups.
        files: The path of each, by which a manifest may call it, too; None is none.
        kept: Whether each is to be in a split; None if all are.
        given: The split that the data itself says, ``train``, ``validation`` or ``test``; None
            where it says nothing.
    """

    where: str
    names: Sequence[str]
    labels: Sequence[tuple[str, ...]]
    groups: Sequence[str] | None = None
    given: Sequence[str | None] | None = None
    files: Sequence[str] | None = None
    kept: Sequence[bool] | None = None

    def of(self, *, kept: bool) -> Examples:
        """Returns those that are kept, or those that are not."""

        def part(values: Any) -> Any:
            pairs = zip(values or (), self.kept or (), strict=False)
            return (
                None if values is None else [value for value, is_kept in pairs if is_kept == kept]
            )

        columns = ("names", "labels", "groups", "given", "files")
        return Examples(self.where, **{name: part(getattr(self, name)) for name in columns})


@dataclass(frozen=True, eq=False)
class Division:
    """The split of each example.

    Attributes:
        chosen: ``train``, ``validation`` or ``test``, ``(n,)``; empty for what is not kept.
        groups: As in `Examples`.
        notes: What a person should know of it.
    """

    chosen: np.ndarray
    groups: Sequence[str] | None
    notes: tuple[str, ...]

    def among(self, kept: Sequence[bool]) -> Division:
        """Returns the same for all examples, of which these are those that are `kept`."""
        import numpy as np

        places = np.flatnonzero(kept)
        chosen = np.zeros(len(kept), "<U10")
        chosen[places] = self.chosen
        if self.groups is None:
            return replace(self, chosen=chosen)
        groups = np.full(len(kept), "", object)
        groups[places] = self.groups
        return replace(self, chosen=chosen, groups=groups.tolist())

    def splits(
        self, whole: Split, target: Target, input: Input, notes: Iterable[str] = ()
    ) -> Splits:
        """Returns the parts of `whole`, which holds all examples, with `notes` of the source."""
        import numpy as np

        grouped = replace(whole, groups=self.groups)
        parts = {
            name: grouped.take(np.flatnonzero(self.chosen == name).tolist())
            for name in SPLITS
            if name in self.chosen
        }
        return Splits(
            train=parts["train"],
            validation=parts["validation"],
            test=parts.get("test"),
            target=target,
            input=input,
            notes=(*notes, *alike_notes(target.names), *self.notes),
        )


def divide(examples: Examples, rule: SplitRule, seed: int) -> Division:
    """Returns the division that a manifest says, else the data, else the shares of `rule`.

    Data that has no validation split of its own gives a share of its training examples to it.

    Raises:
        DataError: A group is in more than one split, there is nothing to train on or to validate
            with, or train lacks a class. Where each example shows one class and the shares divide,
            every split must have one of each.
    """
    refuse_repeats(examples)
    if examples.kept is None:
        return divide_all(examples, rule, seed)
    others = examples.of(kept=False)
    unlisted = (*others.names, *(others.files or ()))
    return divide_all(examples.of(kept=True), rule, seed, unlisted).among(examples.kept)


def divide_all(
    examples: Examples, rule: SplitRule, seed: int, unlisted: Collection[str] = ()
) -> Division:
    """As `divide`, of examples that are all kept; a manifest may list those `unlisted`, too."""
    import numpy as np

    if rule.manifest is not None:
        manifest = read_manifest(rule.manifest).without(unlisted)
        keys = manifest.keys_of(examples.names, examples.where, examples.files)
        chosen = np.array([manifest.splits[key] for key in keys])
        return checked(examples, chosen, [manifest.groups[key] for key in keys])
    examples = replace(examples, names=[canonical(name) for name in examples.names])
    groups = groups_of(examples, rule)
    if "validation" in (examples.given or ()):
        division = checked(examples, np.array(examples.given), groups)
    else:
        division = by_shares(examples, rule, seed, groups)
    return replace(division, notes=(*lacking_splits(examples.given), *division.notes))


def lacking_splits(given: Sequence[str | None] | None) -> Iterator[str]:
    """Yields which splits the data does not say, if it says any."""
    if given and "validation" not in given:
        yield "the data has no validation split: a share of 'train' is taken for it"
    if given and "test" not in given:
        yield "the data has no test split: there is none"


def by_shares(
    examples: Examples, rule: SplitRule, seed: int, groups: Sequence[str] | None
) -> Division:
    """Returns the division of what no split holds yet, or of what is given for training."""
    import numpy as np

    given = np.array(examples.given or [None] * len(examples.names), dtype=object)
    if "train" in given:
        rule = rule.model_copy(update={"test": 0.0})
    divided = np.flatnonzero(given != "test").tolist()
    labels = [examples.labels[index] for index in divided]
    within = None if groups is None else [groups[index] for index in divided]
    chosen = assign([examples.names[index] for index in divided], labels, rule, seed, within)
    if all(len(shown) == 1 for shown in labels):
        require_every_class(examples.where, labels, chosen, rule, within)
    given[divided] = chosen
    return checked(examples, given.astype("<U10"), groups)


def refuse_repeats(examples: Examples) -> None:
    """Refuses names that several examples have, and splits that only some examples have."""
    twice = [name for name, count in Counter(examples.names).items() if count > 1]
    if twice:
        raise DataError(
            examples.where,
            f"has more than one example with the name {quoted(twice, 3)}",
            "Give each example a name of its own",
        )
    without = [
        name for name, to in zip(examples.names, examples.given or (), strict=False) if to is None
    ]
    if 0 < len(without) < len(examples.names):
        raise DataError(
            examples.where,
            f"gives no split for {quoted(without, 3)}, but for others",
            "Give a split to all examples or to none",
        )


def groups_of(examples: Examples, rule: SplitRule) -> Sequence[str] | None:
    """Returns the group of each example: what the rule finds in its name, or what is known.

    Raises:
        DataError: The rule finds none in some name.
    """
    if rule.group is None:
        return examples.groups and [group and canonical(group) for group in examples.groups]
    found = [re.search(canonical(rule.group), name) for name in examples.names]
    without = [name for name, match in zip(examples.names, found, strict=True) if match is None]
    if without:
        raise DataError(
            where=f"data.split.group {rule.group!r}",
            problem=f"finds nothing in {len(without)} of {len(found)} names, such as "
            f"{quoted(without, 3)}",
            fix="Correct the expression until it finds a group in each",
        )
    return ["/".join(match.groups("")) or match.group() for match in found if match]


def checked(examples: Examples, chosen: np.ndarray, groups: Sequence[str] | None) -> Division:
    """Returns the division, unless a model could not be trained or judged by it."""
    check_group_leakage(examples.where, chosen, groups)
    for split in ("train", "validation"):
        if split not in chosen:
            raise DataError(
                examples.where,
                f"has no example for {split} among its {len(chosen)}",
                f"Move some examples to {split}" if examples.given else "Add examples",
            )
    classes: dict[str, set[str]] = {split: set() for split in SPLITS if split in chosen}
    for split, shown in zip(chosen, examples.labels, strict=True):
        classes[split].update(shown)
    check_unseen_classes(examples.where, classes)
    notes = (
        f"{split} has no example of {quoted(sorted(classes['train'] - there, key=natural))}"
        for split, there in classes.items()
        if classes["train"] - there
    )
    return Division(chosen, groups, tuple(notes))


def check_group_leakage(where: str, chosen: np.ndarray, groups: Sequence[str] | None) -> None:
    """Refuses a group in more than one split: the model would be judged by what it has seen."""
    splits_of: dict[str, set[str]] = {}
    for group, split in zip(groups or (), chosen, strict=False):
        if group:
            splits_of.setdefault(group, set()).add(str(split))
    leaking = [group for group, splits in splits_of.items() if len(splits) > 1]
    if leaking:
        first = leaking[0]
        named = " and ".join(split for split in SPLITS if split in splits_of[first])
        raise DataError(
            where,
            f"{len(leaking)} of its groups are in more than one split, such as {first!r} in "
            f"{named}",
            "Move all examples of a group to one split, or leave the groups out",
        )


def check_unseen_classes(where: str, classes: Mapping[str, set[str]]) -> None:
    """Refuses classes that only validation or test has: nothing could learn them."""
    trained = classes["train"]
    everything = sorted(set().union(*classes.values()), key=natural)
    shown = dict(zip(everything, quoted_apart(everything), strict=True))
    strays = [
        f"{split} has {shown[label]}"
        for split in sorted(classes)
        for label in sorted(classes[split] - trained)
    ]
    if strays:
        raise DataError(
            where=where,
            problem="train has the classes "
            f"{listed([shown[label] for label in everything if label in trained])}, but "
            f"{listed(strays)}",
            fix="Add the classes to 'train', or remove them from the others",
        )
