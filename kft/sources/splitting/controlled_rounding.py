"""Whole numbers for a table of shares, whose sums are as exact as they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def controlled_rounding(shares: Sequence[Sequence[Fraction]]) -> np.ndarray:
    """Returns `shares` in whole numbers, int ``(rows, columns)``; the sum of each row is whole.

    Each is rounded down or up, and the sums of rows and of two or three columns are those of the
    shares (Cox 1987): the largest remainders of each row are rounded up, and then, where it
    matters least, others of that row in their place until the columns are right too.
    """
    import numpy as np

    floors = np.array([[math.floor(share) for share in row] for row in shares])
    remainders = np.array([[float(share % 1) for share in row] for row in shares])
    rounded = np.array([largest_remainder(row) for row in shares])
    sums = largest_remainder([sum(column, Fraction()) for column in zip(*shares, strict=True)])
    while (excess := rounded.sum(axis=0) - sums).any():
        for row, up, down in cheapest_exchange(remainders, rounded > floors, excess):
            rounded[row, up] -= 1
            rounded[row, down] += 1
    return rounded


def largest_remainder(shares: Sequence[Fraction]) -> list[int]:
    """Returns `shares`, whose sum is whole, in whole numbers of that sum: of equals the first."""
    rounded = [math.floor(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda at: rounded[at] - shares[at])
    for at in order[: int(sum(shares)) - sum(rounded)]:
        rounded[at] += 1
    return rounded


def cheapest_exchange(
    remainders: np.ndarray, is_up: np.ndarray, excess: np.ndarray
) -> list[tuple[int, int, int]]:
    """Returns which row rounds which column down and which up, to take one from an `excess`.

    Two rows where one column stands between: what the first gives it the second takes.
    """
    import numpy as np

    columns = range(len(excess))
    steps = {}
    for start, end in itertools.permutations(columns, 2):
        is_free = is_up[:, start] & ~is_up[:, end] & (remainders[:, end] > 0)
        costs = np.where(is_free, remainders[:, start] - remainders[:, end], np.inf)
        row = int(costs.argmin())
        steps[start, end] = costs[row], (row, start, end)
    paths = [
        list(itertools.pairwise(path))
        for length in (2, 3)
        for path in itertools.permutations(columns, length)
        if excess[path[0]] > 0 > excess[path[-1]]
    ]
    cheapest = min(paths, key=lambda path: sum(steps[step][0] for step in path))
    return [steps[step][1] for step in cheapest]
