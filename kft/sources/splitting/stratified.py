"""Splits that have the same share of each class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

from kft.messages import canonical
from kft.sources.splitting.by_hash import holders, place
from kft.sources.splitting.controlled_rounding import controlled_rounding


def fill(
    shown: Mapping[str, Sequence[str]],
    places: Mapping[str, float],
    shares: Sequence[Fraction],
    seed: int,
) -> dict[str, int]:
    """Returns the number of the split of each example, each of one class or several.

    In the order of their places, the first of a class go to the first split until it has its share
    of the class, the next ones to the second, and so on. The rarest class is first: examples that
    show another, too, count in the share of that.
    """
    held = holders(shown)
    labels = sorted(held, key=lambda label: (len(held[label]), place(label, seed)))
    table = controlled_rounding([expected(len(held[label]), shares) for label in labels])
    left = dict(zip(labels, table.tolist(), strict=True))
    chosen: dict[str, int] = {}
    for label in labels:
        for key in sorted(held[label], key=places.__getitem__):
            if key not in chosen:
                open_splits = [number for number, free in enumerate(left[label]) if free > 0]
                chosen[key] = open_splits[0] if open_splits else len(shares) - 1
                for each in shown[key]:
                    left[each][chosen[key]] -= 1
    return chosen


def expected(count: int, shares: Sequence[Fraction]) -> list[Fraction]:
    """Returns the shares of `count` examples, 1 or more for each split if there are enough.

    If there are not, the last split, which trains, comes first.
    """
    needed = range(len(shares)) if count >= len(shares) else [len(shares) - 1]
    raised: set[int] = set()
    while True:
        whole = sum(share for at, share in enumerate(shares) if at not in raised)
        found = [
            Fraction(1) if at in raised else (count - len(raised)) * share / whole
            for at, share in enumerate(shares)
        ]
        low = {at for at in needed if found[at] < 1}
        if not low:
            return found
        raised |= low


def deal(
    shown: Mapping[str, Sequence[str]], places: Mapping[str, float], shares: Sequence[Fraction]
) -> dict[str, int]:
    """Returns the number of the split of each whole group.

    Groups of the rarest class are dealt first, large ones before small ones and equal ones by
    their places, each to the split whose classes it brings nearest to their shares. This is how
    Sechidis et al. 2011 deal examples of several labels, and scikit-learn's StratifiedGroupKFold
    groups.
    """
    counts = Counter(label for labels in shown.values() for label in labels)
    parts: list[Counter[str]] = [Counter() for _ in shares]
    sizes = [0 for _ in shares]
    chosen: dict[str, int] = {}
    held = holders(shown)
    for label in sorted(held, key=lambda label: (counts[label], canonical(label))):
        for key in sorted(held[label], key=lambda key: (-len(shown[key]), places[key])):
            if key in chosen:
                continue
            group = Counter(shown[key])
            needs = [
                (need(group, part, counts, float(share)), -size / share)
                for part, size, share in zip(parts, sizes, shares, strict=True)
            ]
            chosen[key] = needs.index(max(needs))
            parts[chosen[key]].update(group)
            sizes[chosen[key]] += len(shown[key])
    return chosen


def need(
    group: Mapping[str, int], part: Mapping[str, int], counts: Mapping[str, int], share: float
) -> float:
    """By how much `group` brings a `part` nearer to its share of the `counts` of each class.

    That is what it takes off the squared distance, in proportion to each class and to the share.
    """
    nearer = (
        shown * (2 * (share * counts[label] - part[label]) - shown) / counts[label] ** 2
        for label, shown in group.items()
    )
    return math.fsum(nearer) / share  # The same in whichever order the classes come.
