import csv
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from kft.data import Split, Target
from kft.errors import DataError
from kft.results.report import write_beginning
from kft.sources.arrays.tensors import Tensors
from kft.sources.splitting.manifest import read_manifest
from kft.sources.splitting.split_assignment import Examples, divide
from kft.sources.splitting.split_rule import SplitRule

RULE = SplitRule()
INPUT = Tensors(shape=())
TARGET = Target("class", ("cats", "dogs"))


def examples(count=60, **known):
    names = [f"{label}/{number:02}" for number in range(count) for label in TARGET.names]
    return Examples("the data", names, [(name.split("/")[0],) for name in names], **known)


def whole(found):
    labels = np.array([TARGET.names.index(name.split("/")[0]) for name in found.names], "int32")
    return Split(found.names, labels, lambda index: tf.cast(index, "float32"))


def splits_of(found, rule=RULE, seed=0):
    return divide(found, rule, seed).splits(whole(found), TARGET, INPUT)


def sides(splits):
    """The splits that each group is in."""
    found = {}
    for name, split in splits.by_name().items():
        for group in split.groups:
            found.setdefault(group, set()).add(name)
    return found


def manifest(path, rows, head=("path", "split")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return SplitRule(manifest=str(path))


def test_a_part_holds_the_names_labels_and_examples_that_belong_together():
    found = examples()

    splits = splits_of(found)

    for split in splits.by_name().values():
        for index, name in enumerate(split.names):
            assert TARGET.names[split.labels[index]] == name.split("/")[0]
            assert found.names[int(split.fetch(tf.constant(index, "int64")))] == name


def test_a_group_found_in_the_name_is_on_one_side_only():
    splits = splits_of(examples(), SplitRule(group=r"/(\d)\d"))

    assert sides(splits).keys() == {*"012345"}
    assert all(len(there) == 1 for there in sides(splits).values())
    assert set(splits.by_name()) == {"train", "validation", "test"}


def test_a_group_is_all_that_matches_where_there_are_no_parentheses():
    splits = splits_of(examples(), SplitRule(group=r"\d$"))

    assert sides(splits).keys() == {*"0123456789"}


def test_examples_without_a_group_are_divided_one_by_one():
    alone, grouped = splits_of(examples()), splits_of(examples(groups=[""] * 120))

    assert list(alone.test.names) == list(grouped.test.names)


def test_names_in_which_no_group_is_found_are_refused():
    with pytest.raises(DataError, match=r"group 'cats/\.': finds nothing in 60 of 120 .*'dogs/00'"):
        splits_of(examples(), SplitRule(group="cats/."))


def test_given_splits_are_kept():
    given = ["train", "train", "validation", "validation", "test", "test"]

    splits = splits_of(examples(3, given=given))

    assert splits.validation.names == ["cats/01", "dogs/01"]
    assert splits.test.names == ["cats/02", "dogs/02"]


def test_without_given_validation_a_share_of_train_is_taken():
    splits = splits_of(examples(given=["train"] * 100 + ["test"] * 20))

    assert (splits.train.size, splits.validation.size, splits.test.size) == (85, 15, 20)


def test_a_given_group_on_two_sides_is_refused():
    given, groups = ["train", "train", "validation", "validation"], ["a", "b", "b", "c"]

    with pytest.raises(
        DataError, match="1 of its groups are in more than one split, .* 'b' in train and valid"
    ):
        splits_of(examples(2, given=given, groups=groups))


def test_a_share_of_train_that_would_share_a_group_with_test_is_refused():
    groups = [f"{number % 40}" for number in range(120)]

    with pytest.raises(DataError, match="groups are in more than one split"):
        splits_of(examples(given=["train"] * 100 + ["test"] * 20, groups=groups))


def test_classes_that_a_given_split_lacks_are_noted():
    splits = splits_of(examples(2, given=["train", "train", "validation", "train"]))

    assert "validation has no example of 'dogs'" in splits.notes


def test_several_classes_of_one_example_are_all_counted():
    labels = [("wet", "cold")] * 8 + [("wet",)] * 8 + [()] * 8
    found = Examples("the data", [f"{number}" for number in range(24)], labels)

    chosen = divide(found, RULE, 3).chosen

    assert {*chosen[:8]} == {"train", "validation", "test"}


def test_examples_without_classes_are_divided_by_the_shares_alone():
    found = Examples("the data", [f"{number}" for number in range(100)], [()] * 100)

    division = divide(found, RULE, 0)

    assert (division.chosen == "test").sum() == 15
    assert division.notes == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["train", None, "validation", "test"], "gives no split for 'dogs/00', but for others"),
        (["test"] * 4, "has no example for train among its 4"),
        (["validation"] * 4, "has no example for train among its 4"),
        (["train", "validation"] * 2, "train has the classes 'cats', but validation has 'dogs'"),
    ],
)
def test_given_splits_that_cannot_be_are_refused(given, message):
    with pytest.raises(DataError, match=message):
        splits_of(examples(2, given=given))


def test_a_name_that_is_there_twice_is_refused():
    found = Examples("the data", ["a", "b", "a"], [()] * 3)

    with pytest.raises(DataError, match="more than one example with the name 'a'. Give each"):
        divide(found, RULE, 0)


def test_what_a_run_writes_gives_the_same_split_again(tmp_path):
    found = examples()
    first = splits_of(found, SplitRule(group=r"/(\d)\d", validation=0.3), seed=7)
    write_beginning(tmp_path, first, {})

    again = splits_of(found, SplitRule(manifest=str(tmp_path / "split.csv")))

    for name, split in first.by_name().items():
        assert again.by_name()[name].names == split.names
        assert again.by_name()[name].groups == split.groups


def test_a_manifest_counts_more_than_what_the_data_says(tmp_path):
    splits = ["train", "train", "validation", "test"]
    found = examples(2, given=["test"] * 4)
    rule = manifest(tmp_path / "m.csv", zip(found.names, splits, strict=True))

    assert splits_of(found, rule).test.names == ["dogs/01"]


def test_a_manifest_of_another_system_names_the_same_examples(tmp_path):
    names = ["Käfer/\udcff", "b", "c"]
    rows = [("Ka\u0308fer/\\xff", "train"), ("b", "Train"), ("c", "val")]

    found = Examples("the data", names, [()] * 3)
    chosen = divide(found, manifest(tmp_path / "m.csv", rows), 0).chosen

    assert list(chosen) == ["train", "train", "validation"]


def test_names_that_differ_in_form_alone_are_two_in_a_manifest(tmp_path):
    names = ["K\u00e4fer", "Ka\u0308fer", "b"]
    rows = zip(names, ["train", "validation", "train"], strict=True)

    chosen = divide(
        Examples("the data", names, [()] * 3), manifest(tmp_path / "m.csv", rows), 0
    ).chosen

    assert list(chosen) == ["train", "validation", "train"]
    fewer = manifest(tmp_path / "n.csv", [("Ka\u0308fer", "train"), ("b", "validation")])
    with pytest.raises(DataError, match="does not list 'Käfer' of the data: 1 too few, 0 too many"):
        divide(Examples("the data", names, [()] * 3), fewer, 0)


def test_a_group_is_the_same_in_either_unicode_form():
    groups = [["Bär", "Ba\u0308r"][number // 2 % 2] for number in range(110)]
    groups += ["b"] * 4 + ["c"] * 6

    splits = splits_of(examples(groups=groups), SplitRule(validation=0.4, test=0.3))

    assert len(sides(splits)["Bär"]) == 1


@pytest.mark.parametrize("seed", range(4))
def test_names_are_divided_alike_whichever_encoding_the_file_system_has(seed):
    names = [f"{label}/é{number}" for number in range(20) for label in ("z", "ä", "Ö")]
    apart = [unicodedata.normalize("NFD", name) for name in names]
    as_bytes = [name.encode().decode("ascii", "surrogateescape") for name in apart]

    one, *others = (
        divide(Examples("the data", each, [(name.split("/")[0],) for name in each]), RULE, seed)
        for each in (names, apart, as_bytes)
    )

    for other in others:
        assert other.chosen.tolist() == one.chosen.tolist()


def test_a_manifest_can_lie_on_another_system():
    with tf.io.gfile.GFile("ram://manifest/m.csv", "w") as file:
        file.write("path,split\na,train\nb,val\n")

    found = Examples("the data", ["a", "b"], [()] * 2)
    chosen = divide(found, SplitRule(manifest="ram://manifest/m.csv"), 0).chosen

    assert list(chosen) == ["train", "validation"]


ALL = [("cats/00", "train"), ("dogs/00", "train"), ("cats/01", "val"), ("dogs/01", "val")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ALL[:3], "does not list 'dogs/01' of the data: 1 too few, 0 too many. Use the data"),
        ([*ALL, ("eels/1", "test")], "lists 'eels/1', which the data does not have: 0 too few, 1"),
        ([*ALL, ALL[0]], "lists 'cats/00' more than once. Keep one line"),
        (
            [*ALL[:3], ("dogs/01", "de")],
            "m.csv': has 1 fault: line 5: 'split' is 'de', expected",
        ),
        ([(name, "train") for name, _ in ALL], "has no example for validation among its 4"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        splits_of(examples(2), manifest(tmp_path / "m.csv", rows))


def test_a_manifest_without_its_columns_is_refused(tmp_path):
    rule = manifest(tmp_path / "m.csv", [], ("file", "split"))

    with pytest.raises(DataError, match="has no column 'path'; it has 'file', 'split'. Give the"):
        splits_of(examples(2), rule)


@pytest.mark.parametrize("path", ["gone.csv", "ram://gone.csv"])
def test_a_manifest_that_is_not_there_is_refused(path):
    with pytest.raises(
        DataError, match="data.split.manifest '.*gone.csv': cannot be read: .*o such file"
    ):
        splits_of(examples(2), SplitRule(manifest=path))


def test_a_manifest_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"path\xff")

    with pytest.raises(DataError, match="is no text in UTF-8: its byte 4 is 255. Save it as UTF-8"):
        splits_of(examples(2), SplitRule(manifest=str(tmp_path / "m.csv")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,split\na\n", "has 1 fault: line 2: has 1 fields, but there are 2 columns"),
        ("path,path,split\na,b,train\n", "has two columns 'path'"),
        ('path,split\n"a,train\n', "is no CSV: unexpected end of data"),
        ("", "has no column 'path', 'split'; it has none"),
    ],
)
def test_a_manifest_that_is_no_table_is_refused(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")

    with pytest.raises(DataError, match=message):
        splits_of(examples(2), SplitRule(manifest=str(tmp_path / "m.csv")))


def test_a_name_in_a_manifest_may_end_in_a_blank_and_be_long(tmp_path):
    long = "x" * 200_000
    (tmp_path / "m.csv").write_text(f"path,split\na ,train\n{long},test\n", encoding="utf-8")

    assert read_manifest(str(tmp_path / "m.csv")).splits == {"a ": "train", long: "test"}
