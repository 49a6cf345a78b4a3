from collections import Counter

import numpy as np
import pytest

from kft.errors import DataError
from kft.sources.splitting.folds import folds


def balance(counts, k):
    """The largest difference between two folds."""
    sizes = [counts[fold] for fold in range(k)]
    return max(sizes) - min(sizes)


@pytest.mark.parametrize("k", [2, 3, 5, 10])
@pytest.mark.parametrize("sizes", [[40], [17, 9, 30, 12], [7] * 52, [1, 2, 3, 200]])
def test_folds_differ_by_one_at_most_in_each_class_and_in_all(sizes, k):
    labels = [(str(at),) for at, size in enumerate(sizes) for _ in range(size)]

    found = folds([*map(str, range(len(labels)))], labels, k, seed=1)

    assert balance(Counter(found.tolist()), k) <= 1
    for at in range(len(sizes)):
        shown = [
            fold for fold, shown in zip(found.tolist(), labels, strict=True) if shown == (str(at),)
        ]
        assert balance(Counter(shown), k) <= 1


def test_examples_without_a_class_are_divided_evenly():
    found = folds([*map(str, range(23))], [()] * 23, 5, seed=0)

    assert sorted(Counter(found.tolist()).values()) == [4, 4, 5, 5, 5]


def test_groups_stay_whole_and_folds_come_near_to_each_other():
    groups = [f"{at}" for at in range(40) for _ in range(1 + at * at % 17)]
    labels = [(f"{int(group) % 2}",) for group in groups]

    found = folds([*map(str, range(len(groups)))], labels, 4, 0, groups)

    assert all(
        len({fold for fold, group in zip(found, groups, strict=True) if group == one}) == 1
        for one in {*groups}
    )
    for label in "01":
        counts = Counter(found[[shown == (label,) for shown in labels]].tolist())
        assert balance(counts, 4) <= 3


def test_folds_are_those_of_the_seed_and_of_no_order():
    names, labels = [*map(str, range(50))], [(str(at % 3),) for at in range(50)]

    one, again, other = (folds(names, labels, 5, seed) for seed in (3, 3, 4))
    turned = folds(names[::-1], labels[::-1], 5, 3)

    assert one.tolist() == again.tolist() == turned[::-1].tolist()
    assert np.any(one != other)


@pytest.mark.parametrize(
    ("k", "groups", "message"),
    [
        (1, None, "folds: are 1 for 4 examples, expected 2 to 4. Give another number of folds"),
        (5, None, "folds: are 5 for 4 examples, expected 2 to 4"),
        (3, ["a", "a", "b", "b"], "folds: are 3 for 2 groups, expected 2 to 2. .* or add groups"),
    ],
)
def test_more_folds_than_there_can_be_are_refused(k, groups, message):
    with pytest.raises(DataError, match=message):
        folds([*"abcd"], [()] * 4, k, 0, groups)
