import numpy as np
import pytest
from pydantic import ValidationError

from kft.errors import DataError
from kft.sources.splitting.split_rule import SplitRule, assign, place, require_every_class

RULE = SplitRule()
GOLDEN_PLACES = [0.968373, 0.301971, 0.088645, 0.71078, 0.615353, 0.548953]
GOLDEN_SPLITS = "rrrrrrerea"  # the second letters of the splits


def files(label, count):
    return [f"{label}/{number}.bin" for number in range(count)]


def labels_of(names):
    return [(name.split("/")[0],) for name in names]


def by_name(names, rule=RULE, seed=0):
    labels = labels_of(names)
    return dict(zip(names, assign(names, labels, rule, seed), strict=True))


def test_assignment_is_pinned_so_that_no_release_moves_an_example():
    names = ["cats/1.jpg", "cats/2.jpg", "cats/3.jpg", "cats/4.jpg", "dogs/é.jpg", "dogs/1.jpg"]

    places = [round(place(name, seed=0), 6) for name in names]

    assert places == GOLDEN_PLACES


def test_assignment_of_whole_classes_is_pinned():
    names = files("cats", 10)

    assigned = assign(names, labels_of(names), RULE, seed=0)

    assert "".join(split[1] for split in assigned) == GOLDEN_SPLITS


def test_place_is_the_same_for_both_unicode_forms_of_a_name():
    composed, decomposed = "caf\u00e9", "cafe\u0301"

    assert place(composed, 3) == place(decomposed, 3)


def test_place_takes_names_that_are_not_utf8():
    assert 0 <= place("cats/\udcff.jpg", 0) < 1


def test_shares_are_met_about():
    names = files("cats", 20_000)

    assigned = assign(names, labels_of(names), SplitRule(validation=0.2, test=0.1), 0)

    assert np.mean(assigned == "test") == pytest.approx(0.1, abs=0.01)
    assert np.mean(assigned == "validation") == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_added_or_deleted_files_move_no_other(seed):
    few = files("cats", 40) + files("dogs", 40)
    many = files("cats", 300) + files("dogs", 55) + files("eels", 30)

    before, after = by_name(few, seed=seed), by_name(many, seed=seed)

    assert before == {name: after[name] for name in few}


def test_another_seed_is_another_split():
    names = files("cats", 100)

    assert by_name(names, seed=0) != by_name(names, seed=1)


def test_a_larger_validation_share_leaves_the_test_split_alone():
    names = files("cats", 200)

    small, large = (by_name(names, SplitRule(validation=share)) for share in (0.1, 0.4))

    assert [n for n in names if small[n] == "test"] == [n for n in names if large[n] == "test"]


@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_three_has_one_example_in_each_split(seed):
    names = files("cats", 3) + files("dogs", 500)

    assigned = by_name(names, seed=seed)

    assert {assigned[name] for name in files("cats", 3)} == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(20))
def test_only_the_example_with_the_nearest_hash_is_given_up(seed):
    names = files("cats", 6)
    ranges = RULE.ranges()

    assigned = by_name(names, seed=seed)

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


def test_no_group_is_on_two_sides():
    names = files("cats", 90) + files("dogs", 90)
    labels = labels_of(names)
    groups = [f"patient-{number % 30}" for number in range(180)]

    assigned = assign(names, labels, RULE, 0, groups)

    sides = {}
    for group, split in zip(groups, assigned, strict=True):
        sides.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in sides.values())
    assert set(assigned) == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(20))
def test_a_group_given_up_for_one_class_leaves_the_others_whole(seed):
    groups = [*"abcdef"] * 2
    names = [f"{label}/{group}" for label in ("cats", "dogs") for group in "abcdef"]
    labels = labels_of(names)

    assigned = assign(names, labels, RULE, seed, groups)

    require_every_class("data", labels, assigned, RULE)
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
        ({"group": "("}, "is no regular expression: missing"),
        ({"group": "a", "manifest": "b"}, "both 'group' and 'manifest', which lists the groups"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares, message):
    with pytest.raises(ValidationError, match=message):
        SplitRule.model_validate(shares)


@pytest.mark.parametrize("seed", range(5))
def test_of_several_labels_each_is_in_every_split_where_it_can_be_and_in_train_always(seed):
    names = [f"{number}.jpg" for number in range(60)]
    labels = [("many", f"ten {number % 6}") for number in range(59)] + [("once",)]

    assigned = assign(names, labels, RULE, seed)

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
