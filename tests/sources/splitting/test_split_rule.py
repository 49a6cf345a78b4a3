from collections import Counter
from math import ceil, floor

import numpy as np
import pytest
from pydantic import ValidationError

from kft.errors import DataError
from kft.sources.splitting.by_hash import place
from kft.sources.splitting.split_rule import SplitRule, assign, require_every_class

RULE = SplitRule()
HASH = SplitRule(method="hash")
GOLDEN_SPLITS = "rrrrrrerea"  # the second letters of the splits


def files(label, count):
    return [f"{label}/{number}.bin" for number in range(count)]


def labels_of(names):
    return [(name.split("/")[0],) for name in names]


def by_name(names, rule=RULE, seed=0):
    labels = labels_of(names)
    return dict(zip(names, assign(names, labels, rule, seed), strict=True))


@pytest.mark.parametrize("rule", [RULE, HASH])
def test_assignment_of_whole_classes_is_pinned(rule):
    names = files("cats", 10)

    assigned = assign(names, labels_of(names), rule, seed=0)

    assert "".join(split[1] for split in assigned) == GOLDEN_SPLITS


def test_a_hash_meets_the_shares_about():
    names = files("cats", 20_000)
    rule = SplitRule(validation=0.2, test=0.1, method="hash")

    assigned = assign(names, labels_of(names), rule, 0)

    assert np.mean(assigned == "test") == pytest.approx(0.1, abs=0.01)
    assert np.mean(assigned == "validation") == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_added_or_deleted_files_move_no_other_of_a_hash(seed):
    few = files("cats", 40) + files("dogs", 40)
    many = files("cats", 300) + files("dogs", 55) + files("eels", 30)

    before, after = by_name(few, HASH, seed), by_name(many, HASH, seed)

    assert before == {name: after[name] for name in few}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [[40], [9, 30, 14], [7] * 52])
def test_an_added_file_moves_few_others(seed, sizes):
    few = [name for at, size in enumerate(sizes) for name in files(at, size)]

    before, after = by_name(few, seed=seed), by_name([*few, "0/new.bin"], seed=seed)

    # Two of its class, at the ends of test and validation, and others where these had been rounded.
    assert sum(before[name] != after[name] for name in few) <= 4


@pytest.mark.parametrize("test", [0, 0.15, 0.2, 0.29])
@pytest.mark.parametrize("sizes", [[17], [9, 30, 14, 12], [7] * 52, [10] * 10, [100] * 3])
def test_each_class_and_all_examples_have_their_shares_but_for_rounding(sizes, test):
    rule = SplitRule(test=test)
    names = [name for at, size in enumerate(sizes) for name in files(at, size)]

    assigned = by_name(names, rule)

    counts = Counter((name.split("/")[0], split) for name, split in assigned.items())
    for split, share in rule.shares().items():
        for at, size in enumerate(sizes):
            assert counts[str(at), split] in (floor(size * share), ceil(size * share))
        everything = sum(counts[str(at), split] for at in range(len(sizes)))
        assert everything in (floor(len(names) * share), ceil(len(names) * share))


def test_examples_without_a_class_have_exact_shares_of_all():
    assigned = assign([*map(str, range(200))], [()] * 200, RULE, 0)

    assert Counter(assigned.tolist()) == {"train": 140, "validation": 30, "test": 30}


def test_several_labels_have_their_shares_about():
    labels = [tuple({f"{at % 40}", f"{at % 7}", f"{at % 3}"}) for at in range(1000)]

    assigned = assign([*map(str, range(1000))], labels, RULE, 0)

    held = Counter(label for shown in labels for label in shown)
    tested = Counter(
        label
        for shown, split in zip(labels, assigned, strict=True)
        for label in shown
        if split == "test"
    )
    assert all(
        abs(tested[label] - 0.15 * count) < 0.04 * count + 1 for label, count in held.items()
    )
    assert (assigned == "test").mean() == pytest.approx(0.15, abs=0.01)


def test_groups_of_all_sizes_come_near_to_the_shares_of_each_class():
    groups = [f"{at}" for at in range(60) for _ in range(1 + at * at % 37)]
    labels = [(f"{(int(group) + (row % 5 == 0)) % 3}",) for row, group in enumerate(groups)]

    assigned = assign([*map(str, range(len(groups)))], labels, RULE, 0, groups)

    for label in "012":
        there = assigned[[shown == (label,) for shown in labels]]
        assert (there == "test").mean() == pytest.approx(0.15, abs=0.02)
        assert (there == "validation").mean() == pytest.approx(0.15, abs=0.02)


def test_another_seed_is_another_split():
    names = files("cats", 100)

    assert by_name(names, seed=0) != by_name(names, seed=1)


def test_a_larger_validation_share_leaves_the_test_split_alone():
    names = files("cats", 200)

    small, large = (by_name(names, SplitRule(validation=share)) for share in (0.1, 0.4))

    assert [n for n in names if small[n] == "test"] == [n for n in names if large[n] == "test"]


@pytest.mark.parametrize("rule", [RULE, HASH])
@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_three_has_one_example_in_each_split(seed, rule):
    names = files("cats", 3) + files("dogs", 500)

    assigned = by_name(names, rule, seed)

    assert {assigned[name] for name in files("cats", 3)} == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(20))
def test_only_the_example_with_the_nearest_hash_is_given_up(seed):
    names = files("cats", 6)
    ranges = HASH.ranges()

    assigned = by_name(names, HASH, seed)

    moved = [n for n in names if not is_at_home(assigned[n], place(n, seed), ranges)]
    natural = {n: next(s for s, r in ranges.items() if place(n, seed) < r[1]) for n in names}
    missing = set(ranges) - set(natural.values())
    assert {assigned[name] for name in moved} == missing
    for name in moved:
        start, end = ranges[assigned[name]]
        gap = max(start - place(name, seed), place(name, seed) - end)
        assert all(
            max(start - place(other, seed), place(other, seed) - end) >= gap
            for other in names
            if natural[other] == natural[name] and other not in moved
        )


def is_at_home(split, at, ranges):
    return ranges[split][0] <= at < ranges[split][1]


def test_without_a_test_share_there_is_no_test_split():
    names = files("cats", 2) + files("dogs", 50)

    assigned = by_name(names, SplitRule(test=0))

    assert set(assigned.values()) == {"train", "validation"}


@pytest.mark.parametrize("rule", [RULE, HASH])
def test_no_group_is_on_two_sides(rule):
    names = files("cats", 90) + files("dogs", 90)
    labels = labels_of(names)
    groups = [f"patient-{number % 30}" for number in range(180)]

    assigned = assign(names, labels, rule, 0, groups)

    sides = {}
    for group, split in zip(groups, assigned, strict=True):
        sides.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in sides.values())
    assert set(assigned) == {"train", "validation", "test"}


@pytest.mark.parametrize("rule", [RULE, HASH])
@pytest.mark.parametrize("seed", range(20))
def test_a_group_given_up_for_one_class_leaves_the_others_whole(seed, rule):
    groups = [*"abcdef"] * 2
    names = [f"{label}/{group}" for label in ("cats", "dogs") for group in "abcdef"]
    labels = labels_of(names)

    assigned = assign(names, labels, rule, seed, groups)

    require_every_class("data", labels, assigned, rule)
    assert list(assigned[:6]) == list(assigned[6:])


def test_classes_too_small_are_refused_all_at_once():
    names = [*files("cats", 2), *files("dogs", 1), *files("eels", 9)]
    labels = labels_of(names)
    assigned = assign(names, labels, RULE, 0)

    message = r"one each for train, validation, test: 'cats' has 2, 'dogs' has 1\. Add examples"
    with pytest.raises(DataError, match=message):
        require_every_class("data", labels, assigned, RULE)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"validation": 0}, "greater than 0"),
        ({"test": -0.1}, "greater than or equal to 0"),
        ({"validation": 0.6, "test": 0.4}, "validation 0.6 and test 0.4 leave nothing to train"),
        ({"validaton": 0.2}, "Did you mean 'validation'"),
        ({"method": "random"}, "Input should be 'stratified' or 'hash'"),
        ({"group": "("}, "is no regular expression: missing"),
        ({"group": "a", "manifest": "b"}, "both 'group' and 'manifest', which lists the groups"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares, message):
    with pytest.raises(ValidationError, match=message):
        SplitRule.model_validate(shares)


@pytest.mark.parametrize("rule", [RULE, HASH])
@pytest.mark.parametrize("seed", range(5))
def test_of_several_labels_each_is_in_every_split_where_it_can_be_and_in_train_always(seed, rule):
    names = [f"{number}.jpg" for number in range(60)]
    labels = [("many", f"ten {number % 6}") for number in range(59)] + [("once",)]

    assigned = assign(names, labels, rule, seed)

    there = {(name, split) for split, shown in zip(assigned, labels, strict=True) for name in shown}
    for label in ("many", *(f"ten {number}" for number in range(6))):
        assert {split for name, split in there if name == label} == {"train", "validation", "test"}
    assert {split for name, split in there if name == "once"} == {"train"}


def test_examples_without_a_class_are_in_every_split_however_few_they_are():
    for seed in range(20):
        chosen = assign([*"abcd"], [()] * 4, SplitRule(), seed)

        assert {*chosen} == {"train", "validation", "test"}


def test_only_the_first_of_many_small_classes_are_named():
    labels = [(str(number),) for number in range(30)]

    with pytest.raises(DataError, match=r"'0' has 1, '1' has 1, .*'17' has 1 and 20 more. Add"):
        require_every_class("data", labels, ["train"] * 30, SplitRule())


def test_a_class_of_one_group_lacks_groups_however_many_examples_it_has():
    labels, groups = [("a",), ("b",)] * 20, ["x"] * 38 + ["", ""]
    assigned = assign([*map(str, range(40))], labels, SplitRule(), 0, groups)

    with pytest.raises(DataError, match="too few groups .*'a' has 2, 'b' has 2. Add groups until"):
        require_every_class("data", labels, assigned, SplitRule(), groups)
