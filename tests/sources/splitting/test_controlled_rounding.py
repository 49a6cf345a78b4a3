import itertools
import random
from fractions import Fraction
from math import ceil, floor

import pytest

from kft.sources.splitting.controlled_rounding import controlled_rounding, largest_remainder


def shares_of(sizes, *parts):
    shares = [Fraction(part) for part in parts]
    return [[size * share for share in (*shares, 1 - sum(shares))] for size in sizes]


def test_the_largest_remainder_is_rounded_up_and_of_equals_the_first():
    assert largest_remainder(shares_of([17], "0.15", "0.15")[0]) == [3, 2, 12]
    assert largest_remainder(shares_of([16], "0.15", "0.15")[0]) == [3, 2, 11]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("columns", [2, 3])
def test_every_number_and_every_sum_is_the_exact_one_rounded(seed, columns):
    draw = random.Random(seed)
    sizes = [draw.randrange(1, 40) for _ in range(draw.choice([1, 2, 5, 60]))]
    parts = [Fraction(draw.randrange(1, 49), 100) for _ in range(columns - 1)]
    table = shares_of(sizes, *parts)

    rounded = controlled_rounding(table)

    assert rounded.sum(axis=1).tolist() == sizes
    sums = [sum(column) for column in zip(*table, strict=True)]
    assert rounded.sum(axis=0).tolist() == largest_remainder(sums)
    for row, exact in zip(rounded, table, strict=True):
        assert all(n in (floor(e), ceil(e)) for n, e in zip(row, exact, strict=True))


def test_many_rows_alike_are_not_all_rounded_alike():
    rounded = controlled_rounding(shares_of([7] * 52, "0.15", "0.15"))

    assert rounded.sum(axis=0).tolist() == [55, 54, 255]


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_columns_are_put_right_through_the_one_between_them(order):
    rows = [["0.9", "0.6", "0.5"], ["0.6", "0", "0.4"], ["0", "0.55", "0.45"]]
    table = [[Fraction(row[at]) for at in order] for row in rows]

    rounded = controlled_rounding(table)

    sums = [sum(column) for column in zip(*table, strict=True)]
    assert rounded.sum(axis=0).tolist() == largest_remainder(sums)
