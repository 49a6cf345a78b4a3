"""Which examples are the same, or nearly so, found in a time that grows with their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft.input import Fingerprints

if TYPE_CHECKING:
    import numpy as np

# Of the 64 bits of two hashes, so many may differ; and two sketches by so much on average.
NEAR_BITS = 4
NEAR_LEVELS = 8
# Pairs that are compared at once.
AT_ONCE = 2**20


@dataclass(frozen=True)
class Alike:
    """Examples that show the same, by their numbers, in order.

    Attributes:
        exact: Whether they are the same to the last bit once they are decoded.
    """

    members: tuple[int, ...]
    exact: bool


def same(digests: np.ndarray) -> list[Alike]:
    """Returns the groups of equal `digests`, uint8 ``(n, 16)``."""
    import numpy as np

    _, number = np.unique(digests, axis=0, return_inverse=True)
    return [Alike(group, exact=True) for group in groups(number.reshape(-1))]


def groups(number: np.ndarray) -> Iterator[tuple[int, ...]]:
    """Yields the places of each value that occurs more than once in `number`, ``(n,)``."""
    import numpy as np

    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order])) + 1
    for group in np.split(order, starts):
        if len(group) > 1:
            yield tuple(group.tolist())


def alike(found: Fingerprints) -> list[Alike]:
    """Returns the groups of like examples, each a chain of which the neighbours are near.

    Hashes that differ in few bits agree in one of a few bands of bits, so only what shares a band
    is compared, and each hash once, however many examples have it.
    """
    import numpy as np

    kinds = np.column_stack([found.hashes.view("u1").reshape(-1, 8), found.sketches])
    _, first, number = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    leader = np.arange(len(first))
    for one, other in near_pairs(Fingerprints(found.hashes[first], found.sketches[first])):
        join(leader, one, other)
    roots = np.array([root(leader, place) for place in range(len(leader))], int)
    return [Alike(group, exact=False) for group in groups(roots[number.reshape(-1)])]


def near_pairs(found: Fingerprints) -> Iterator[tuple[int, int]]:
    """Yields the pairs of near fingerprints; one may come more than once."""
    import numpy as np

    edges = np.linspace(0, 64, NEAR_BITS + 2).astype(int)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        band = (found.hashes >> np.uint64(low)) & np.uint64(2 ** int(high - low) - 1)
        for one, other in pairs(groups(band)):
            differing = np.bitwise_count(found.hashes[one] ^ found.hashes[other])
            one, other = one[differing <= NEAR_BITS], other[differing <= NEAR_BITS]
            levels = found.sketches[one].astype("int16") - found.sketches[other]
            near = np.abs(levels).mean(axis=1) <= NEAR_LEVELS
            yield from zip(one[near].tolist(), other[near].tolist(), strict=True)


def pairs(found: Iterable[tuple[int, ...]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields all pairs within each of the groups `found`, some at once."""
    import numpy as np

    for group in found:
        members = np.array(group)
        rows = max(1, AT_ONCE // len(members))
        for start in range(0, len(members), rows):
            one, other = np.meshgrid(members[start : start + rows], members, indexing="ij")
            ahead = one < other
            yield one[ahead], other[ahead]


def root(leader: np.ndarray, place: int) -> int:
    """The first member of the group of `place`."""
    while leader[place] != place:
        leader[place] = leader[leader[place]]
        place = int(leader[place])
    return place


def join(leader: np.ndarray, one: int, other: int) -> None:
    """Makes one group of those of two places."""
    leader[root(leader, other)] = root(leader, one)
