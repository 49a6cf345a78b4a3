"""Which classes are learned, in which order, and which of them count as one."""

from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError
from tiny import Bytes

import kft
from kft.data import Target
from kft.errors import DataError
from kft.results.report import write_beginning
from kft.sources.arrays.arrays import Arrays
from kft.sources.arrays.tensors import Tensors
from kft.sources.folders.folder import Folder
from kft.sources.splitting.split_rule import SplitRule
from kft.sources.tables.table import Table

CLASSES = ("bird", "cat", "dog")
PETS = {"pet": ["cat", "dog"], "bird": "bird"}


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    """Twelve files of each class."""
    for name in CLASSES:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            (tmp_path / "photos" / name / f"{number:02}.bin").write_bytes(bytes([number]))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def folder(**settings):
    return Folder(path="photos", input=Bytes(), **settings)


def tagged(cells, **settings):
    """A table of texts with these tags."""
    Path("tags.csv").write_text("\n".join(["x,tags", *(f"{n},{c}" for n, c in enumerate(cells))]))
    return Table(
        path="tags.csv",
        input_column="x",
        label_columns="tags",
        input=Tensors(shape=(), dtype="string"),
        **settings,
    )


def told(splits):
    """The split, and the names of what it shows, of each example."""
    dense = {part: splits.target.dense(split.labels) for part, split in splits.by_name().items()}
    return {
        name: (part, [splits.target.names[at] for at in dense[part][row].nonzero()[0]])
        for part, split in splits.by_name().items()
        for row, name in enumerate(split.names)
    }


def test_a_list_is_the_order_of_the_labels():
    splits = folder(classes=("dog", "bird", "cat")).load(0)

    assert splits.target.names == ("dog", "bird", "cat")
    assert told(splits) == told(folder().load(0))
    assert splits.notes == ()


def test_classes_that_are_not_named_are_left_out_and_counted():
    splits = folder(classes=("dog", "cat")).load(0)

    assert splits.target.names == ("dog", "cat")
    assert splits.sizes == {"train": 17, "validation": 3, "test": 4}
    assert {shown for _, (shown,) in told(splits).values()} == {"cat", "dog"}
    assert splits.notes == (
        "left out what data.classes does not name: 12 examples of 1 class, 'bird' (12)",
    )


def test_several_classes_may_be_one_in_the_order_of_the_object():
    splits = folder(classes=PETS).load(0)

    assert splits.target.names == ("pet", "bird")
    assert {name.split("/")[0]: shown for name, (_, (shown,)) in told(splits).items()} == {
        "bird": "bird",
        "cat": "pet",
        "dog": "pet",
    }


def test_a_class_that_is_left_out_need_not_be_large_enough_to_divide(photos):
    (photos / "elk").mkdir()
    (photos / "elk/0.bin").write_bytes(b"0")
    with pytest.raises(DataError, match="too few examples"):
        folder().load(0)

    splits = folder(classes=CLASSES).load(0)

    assert splits.sizes == folder(classes=CLASSES).load(0).sizes
    assert "1 example of 1 class, 'elk' (1)" in splits.notes[0]
    merged = folder(classes={"a": ["bird", "elk"], "b": ["cat", "dog"]}).load(0)
    assert sum(merged.sizes.values()) == 37


def test_classes_that_are_not_named_may_be_refused():
    problem = r"classes: does not name 12 examples of 1 class, 'bird' \(12\). Name them too, or set"
    with pytest.raises(DataError, match=problem):
        folder(classes=("dog", "cat"), other_classes="refuse").load(0)


@pytest.mark.parametrize(
    ("classes", "fault"),
    [
        (("dgo", "cat"), "names 'dgo', which the data does not have. Did you mean 'dog'?"),
        (("x", "cat"), "names 'x', which the data does not have. Known: bird, cat, dog"),
        ({"pet": ["cat", "dgo"], "x": "bird"}, "names 'dgo', which .* 'dog'"),
        (("dog",), "names one class, expected two or more"),
        ({"all": CLASSES}, "names one class, expected two or more"),
    ],
)
def test_classes_that_the_data_does_not_have_are_refused(classes, fault):
    with pytest.raises(DataError, match=fault):
        folder(classes=classes).load(0)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"classes": ("a", "a")}, "names 'a' more than once"),
        ({"classes": {"x": ["a", "b"], "y": "b"}}, "names 'b' more than once"),
        ({"classes": "a"}, "should be a list of names, or an object of them by name"),
        ({"classes": {"x": 1}}, "should be a name or a list of names, each in quotes"),
        ({"classes": ()}, "at least 1 item"),
        ({"classes": {}}, "at least 1 item"),
        ({"classes": {"x": ""}}, "at least 1 character"),
        ({"other_classes": "refuse"}, "'other_classes' are those that 'classes' does not name"),
    ],
)
def test_settings_that_choose_nothing_are_refused(settings, fault):
    with pytest.raises(ValidationError, match=fault):
        folder(**settings)


def test_names_may_have_the_other_unicode_form(photos):
    (photos / "dog").rename(photos / normalize("NFD", "Bär"))

    splits = folder(classes=(normalize("NFC", "Bär"), "cat")).load(0)

    assert splits.target.names == (normalize("NFC", "Bär"), "cat")
    assert sum(splits.sizes.values()) == 24
    with pytest.raises(DataError, match="in two Unicode forms"):
        folder(classes=tuple(normalize(form, "Bär") for form in ("NFC", "NFD"))).load(0)


def test_a_name_of_control_characters_is_written_as_messages_show_it(photos):
    (photos / "dog").rename(photos / "d\tg")

    names = folder(classes=("d\tg", "cat")).load(0).target.names

    assert names == folder(classes=("d\\tg", "cat")).load(0).target.names == ("d\\tg", "cat")


def test_the_list_of_all_data_divides_what_is_chosen_and_the_other_way_round(tmp_path):
    rule = SplitRule(manifest="split.csv")
    whole = folder().load(0)
    write_beginning(tmp_path, whole, {})

    chosen = folder(classes=("dog", "cat"), split=rule).load(1)

    assert told(chosen) == {name: is_ for name, is_ in told(whole).items() if name[0] != "b"}
    write_beginning(tmp_path, chosen, {})
    assert told(folder(classes=("dog", "cat"), split=rule).load(2)) == told(chosen)
    with pytest.raises(DataError, match="does not list 'bird/00.bin'"):
        folder(split=rule).load(0)


def test_groups_stay_with_their_examples():
    rule = SplitRule(group=r"/\d(\d)")

    splits = folder(classes=("dog", "cat"), split=rule).load(0)

    for split in splits.by_name().values():
        assert [name.split("/")[1][1] for name in split.names] == split.groups


def test_files_of_classes_that_are_left_out_may_be_missing():
    rows = [f"photos/{name}/{n:02}.bin,{name}" for name in ("cat", "dog") for n in range(12)]
    Path("a.csv").write_text("\n".join(["path,kind", *rows, "photos/gone.bin,elk"]))
    settings = {"path": "a.csv", "class_column": "kind", "input": Bytes()}

    splits = Table(**settings, classes=("dog", "cat")).load(0)

    assert sum(splits.sizes.values()) == 24
    with pytest.raises(DataError, match="names 1 file not there"):
        Table(**settings).load(0)
    whole, left_out = Table(**settings, classes=("dog", "cat")).whole(splits.target)
    assert (whole.size, whole.labels.tolist()) == (24, [1] * 12 + [0] * 12)
    assert "1 example of 1 class, 'elk' (1)" in left_out


def test_of_several_labels_one_is_left_out_and_its_examples_stay():
    cells = ["red|round", "red", "round", "", "big", "big|red"] * 4

    splits = tagged(cells, classes=("round", "red")).load(0)

    assert splits.target.names == ("round", "red")
    assert sum(splits.sizes.values()) == 24
    shown = {tuple(shown) for _, shown in told(splits).values()}
    assert shown == {("round", "red"), ("red",), ("round",), ()}
    assert splits.notes == (
        "left out what data.classes does not name: 1 label of 8 examples, which stay, 'big' (8)",
    )


def test_several_labels_may_be_one():
    cells = ["red|round", "red", "round", "", "big", "big|red"] * 4

    splits = tagged(cells, classes={"shape": ["round", "big"], "red": "red"}).load(0)

    counts = sum(split.labels.sum(axis=0) for split in splits.by_name().values())
    assert (splits.target.names, counts.tolist()) == (("shape", "red"), [16, 12])
    alone = tagged(cells, classes=("red",)).load(0)
    assert alone.target == Target("multilabel", ("red",))


def test_values_have_no_classes():
    np.savez("v.npz", x=np.zeros((9, 2), "float32"), y=np.arange(9.0))
    values = Arrays(
        path="v.npz", predicts="value", input=Tensors(shape=(2,)), classes=("low", "high")
    )

    with pytest.raises(DataError, match="names classes, but the data has values"):
        values.load(0)


def test_class_names_of_numbers_are_what_classes_choose_from():
    np.savez("c.npz", x=np.zeros((30, 2), "float32"), y=np.arange(30) % 3)
    settings = {"path": "c.npz", "class_names": CLASSES, "input": Tensors(shape=(2,))}

    splits = Arrays(**settings, classes={"pet": ["dog", "cat"], "bird": "bird"}).load(0)

    assert splits.target.names == ("pet", "bird")
    assert all(
        ["bird", "pet"][int(name.split("/")[1]) % 3 > 0] == shown
        for name, (_, (shown,)) in told(splits).items()
    )


def pairs(numbers):
    rows = np.array(numbers, "float32")[:, None]
    return tf.data.Dataset.from_tensor_slices((rows, np.array(numbers, "int32")))


def test_datasets_of_a_program_are_chosen_from_too():
    splits = kft.from_datasets(
        pairs([0, 1, 2, 1]), pairs([2, 0, 1]), None, CLASSES, classes=("dog", "cat")
    ).load(0)

    assert splits.target.names == ("dog", "cat")
    assert told(splits) == {
        "train/1": ("train", ["cat"]),
        "train/2": ("train", ["dog"]),
        "train/3": ("train", ["cat"]),
        "validation/0": ("validation", ["dog"]),
        "validation/2": ("validation", ["cat"]),
    }
    assert splits.train.fetch(tf.constant(1)).numpy() == [2]
    assert "2 examples of 1 class, 'bird' (2)" in splits.notes[0]
    with pytest.raises(DataError, match="the validation dataset: has no example of data.classes"):
        kft.from_datasets(
            pairs([0, 1, 2, 1]), pairs([0]), None, CLASSES, classes=("dog", "cat")
        ).load(0)


def test_other_data_may_be_named_as_the_first_or_as_the_model_names_it(photos):
    target = Target("class", ("pet", "bird"))
    (photos / "dog").rename(photos / "pet")
    (photos / "elk").mkdir()
    (photos / "elk/0.bin").write_bytes(b"0")

    whole, left_out = folder(classes=PETS).whole(target)

    names = [name.split("/")[0] for name in whole.names]
    assert {*zip(names, whole.labels.tolist(), strict=True)} == {
        ("bird", 1),
        ("cat", 0),
        ("pet", 0),
    }
    assert left_out == "left out what data.classes does not name: 1 example of 1 class, 'elk' (1)"
    with pytest.raises(DataError, match="does not name 1 example of 1 class, 'elk'"):
        folder(classes=PETS, other_classes="refuse").whole(target)
    with pytest.raises(DataError, match="has 'bird', 'cat', 'elk', 'pet', which the model does"):
        folder(classes=("a", "b")).whole(Target("class", ("a", "b")))
