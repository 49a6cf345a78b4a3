"""What a survey of the examples means for people, and which they may want to leave out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from kft.messages import clauses
from kft.workflows.checking.duplicates import Alike
from kft.workflows.checking.survey import Survey

# How many times as many examples one class may have as another before it is worth a word.
MUCH_MORE = 10
NAMED = 3
# Of examples that show the same, that one is kept which comes first here: a model may be judged
# by it, so it must not be trained on.
KEPT_FIRST = ("test", "validation", "train")


def notes_of(seen: Survey, counts: Mapping[str, int]) -> Iterator[str]:
    """Yields what a person should know, a sentence for each kind of thing.

    `counts` are the training examples of each class.
    """
    yield from imbalance(counts)
    torn = [group for group in seen.copies if seen.is_torn(group)]
    kinds = {
        "show the same, but have other labels": filter(seen.contradicts, seen.copies),
        "show the same in different splits, so scores look better than they are": torn,
        "look alike in different splits, so scores may look better than they are": filter(
            seen.is_torn, seen.near
        ),
        "are copies within a split": [
            group for group in seen.copies if group not in torn and not seen.contradicts(group)
        ],
        "look alike within a split": [group for group in seen.near if not seen.is_torn(group)],
    }
    for what, found in kinds.items():
        groups = list(found)
        count = sum(len(group.members) for group in groups)
        if groups:
            listed = clauses([described(seen, each) for each in groups], NAMED)
            yield f"{count} examples {what}: {listed}"
    yield from oddities(seen.odd)


def oddities(odd: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yields a sentence for each kind of remark, so that many of one kind hide no other."""
    kinds: dict[str, list[str]] = {}
    for name, remark in odd:
        # Sizes in it make no other kind.
        kinds.setdefault(re.sub("[0-9]+", "", remark), []).append(f"{name} {remark}")
    for remarks in kinds.values():
        yield f"odd: {clauses(remarks, NAMED)}"


def imbalance(counts: Mapping[str, int]) -> Iterator[str]:
    """Yields a sentence if one class has many times the examples of another."""
    few = min(counts, key=counts.__getitem__, default="")
    many = max(counts, key=counts.__getitem__, default="")
    if counts and counts[many] > MUCH_MORE * counts[few]:
        yield (
            f"{many!r} has {counts[many]} training examples and {few!r} has {counts[few]}: "
            'class_weights "balanced" makes up for it'
        )


def described(seen: Survey, group: Alike) -> str:
    """Returns the members of a group with their splits, first one of each split."""
    first = {seen.splits[member]: member for member in reversed(group.members)}.values()
    members = sorted(group.members, key=lambda member: member not in first)
    shown = [f"{seen.names[member]} ({seen.splits[member]})" for member in members[:NAMED]]
    more = len(group.members) - NAMED
    return " = ".join(shown) + (f" = {more} more" if more > 0 else "")


def exclusions(seen: Survey) -> dict[str, str]:
    """The examples that a person may want to exclude, with the reason, by name.

    That is what cannot be read, what contradicts another, and of what shows the same all but one;
    of what only looks alike, what is not in the split that the model is judged by.
    """
    found = {
        name: f"cannot be read: {why}" for bad in seen.bad.values() for name, why in bad.items()
    }
    for group in seen.copies:
        first, *rest = sorted(group.members, key=lambda m: KEPT_FIRST.index(seen.splits[m]))
        if seen.contradicts(group):
            found[seen.names[first]] = f"has another label than its copy {seen.names[rest[0]]}"
            why = "has another label than its copy"
        else:
            why = "is a copy of"
        found |= {seen.names[member]: f"{why} {seen.names[first]}" for member in rest}
    for group in filter(seen.is_torn, seen.near):
        first, *rest = sorted(group.members, key=lambda m: KEPT_FIRST.index(seen.splits[m]))
        for member in rest:
            if seen.splits[member] != seen.splits[first]:
                why = f"looks like {seen.names[first]}, which is in {seen.splits[first]}"
                found.setdefault(seen.names[member], why)
    return found


def in_json(seen: Survey) -> dict[str, object]:
    """Returns all that was found, ready for JSON."""
    groups = {
        "copies": seen.copies,
        "alike": seen.near,
        "contradictions": [group for group in seen.copies if seen.contradicts(group)],
    }
    return {
        **{
            kind: [
                [{"name": seen.names[m], "split": seen.splits[m]} for m in group.members]
                for group in found
            ]
            for kind, found in groups.items()
        },
        "odd": [{"name": name, "remark": remark} for name, remark in seen.odd],
    }
