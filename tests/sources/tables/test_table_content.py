"""A table that holds the examples themselves."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError
from tiny import Words

from kft.cache.decode import read
from kft.data import Target
from kft.errors import DataError
from kft.image.input import ImageInput
from kft.results.report import write_beginning
from kft.sources.arrays.tensors import Tensors
from kft.sources.exclude import load_splits
from kft.sources.splitting.split_rule import SplitRule
from kft.sources.tables.table import Table


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def csv_of(rows, head="text,sort", name="table.csv"):
    Path(name).write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return name


def json_of(rows, name="table.jsonl"):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def table(path, input=None, **settings):
    columns = {"input_column": "text", "class_column": "sort"}
    return Table(path=path, input=input or Words(), **{**columns, **settings})


def texts(size=40):
    return [f"text {number},{'ab'[number % 2]}" for number in range(size)]


def found(splits):
    """The raw example of each name, with the split that it is in."""
    return {
        name: (split.fetch(tf.constant(index, "int64")).numpy(), part)
        for part, split in splits.by_name().items()
        for index, name in enumerate(split.names)
    }


def test_an_example_is_what_its_cell_holds_to_the_blank():
    path = csv_of(['" two, and\n blanks ", a ', *texts()])

    whole, _ = table(path).whole(Target("class", ("a", "b")))
    splits = table(path).load(0)

    name = hashlib.sha256(b" two, and\n blanks ").hexdigest()[:16]
    assert whole.names[0] == name
    assert whole.fetch(tf.constant(0)).numpy() == b" two, and\n blanks "
    assert (whole.labels[0], whole.files) == (0, None)
    assert found(splits)[name][0] == b" two, and\n blanks "
    assert read(splits, "stop", "auto").decoded.train.size == splits.train.size


def test_lines_that_come_or_go_move_no_other_of_a_hash():
    rule = SplitRule(method="hash")
    before = found(table(csv_of(texts()), split=rule).load(0))

    changed = csv_of(["new,a", *texts()[:7], "other,b", *texts()[8:]])
    after = found(table(changed, split=rule).load(0))

    same = before.keys() & after.keys()
    assert len(same) == 39
    assert {name: before[name] for name in same} == {name: after[name] for name in same}


def test_the_same_content_is_told_apart_by_its_place_among_the_same():
    whole, _ = table(csv_of(["x,a", "y,b", "x,b", "x,a"])).whole(Target("class", ("a", "b")))

    names = whole.names
    assert [name[16:] for name in names] == ["", "", "-2", "-3"]
    assert len({name[:16] for name in names}) == 2


def test_a_column_may_name_the_examples():
    lines = [f"{n},id {n},{'ab'[n % 2]}" for n in range(40)]

    splits = table(csv_of(lines, "text,id,sort"), name_column="id").load(0)

    assert found(splits)["id 3"][0] == b"3"
    with pytest.raises(DataError, match="line 42: 'id' is 'id 3', as in line 5"):
        table(csv_of([*lines, "x,id 3,a"], "text,id,sort"), name_column="id").load(0)


def test_a_run_s_list_and_what_to_leave_out_name_the_same_examples(folder):
    splits = table(csv_of(texts())).load(3)
    write_beginning(folder, splits, {})
    left_out = splits.train.names[0]
    (folder / "exclude.txt").write_text(f"{left_out}\t# odd\n")

    again = table(
        csv_of(reversed(texts())),
        split=SplitRule(manifest=str(folder / "split.csv")),
        exclude=str(folder / "exclude.txt"),
    )

    kept = {name: each for name, each in found(splits).items() if name != left_out}
    assert found(load_splits(again, 0)) == kept


def test_a_list_of_splits_may_call_the_names_names(folder):
    names = table(csv_of(texts(4))).whole(Target("class", ("a", "b")))[0].names
    places = ("train", "train", "val", "val")
    csv_of(map(",".join, zip(names, places, strict=True)), "name,split", "mine.csv")

    splits = table("table.csv", split=SplitRule(manifest=str(folder / "mine.csv"))).load(0)

    assert splits.train.names == names[:2]
    csv_of(["x,y,train"], "name,path,split", "mine.csv")
    with pytest.raises(DataError, match="has the columns 'path' and 'name'. Keep one"):
        table("table.csv", split=SplitRule(manifest=str(folder / "mine.csv"))).load(0)


def test_groups_splits_and_weights_come_from_their_columns():
    lines = [f"t{n},{'ab'[n % 2]},g{n // 4},{n},{['train', 'val'][n // 20]}" for n in range(40)]
    path = csv_of(lines, "text,sort,group,weight,part")

    splits = table(path, group_column="group", weight_column="weight", split_column="part").load(0)

    assert splits.sizes == {"train": 20, "validation": 20}
    assert splits.train.groups[4] == "g1"
    assert splits.validation.weights[0] == 20


@pytest.mark.parametrize(
    ("cell", "shape", "dtype"),
    [
        (lambda n: n / 2, (), "float32"),
        (lambda n: [n, n + 1], (2,), "int64"),
        (lambda n: [[n, 1.5], [2, 3]], (2, 2), "float32"),
        (lambda n: [n % 2 == 0], (1,), "bool"),
    ],
)
def test_json_lines_may_hold_numbers(cell, shape, dtype):
    path = json_of({"text": cell(n), "sort": "ab"[n % 2]} for n in range(40))

    splits = table(path, Tensors(shape=shape, dtype=dtype)).load(0)

    raws = [raw for raw, _ in found(splits).values()]
    assert {raw.shape for raw in raws} == {shape}
    expected = np.array([cell(n) for n in range(40)], dtype)
    assert sorted(raw.tolist() for raw in raws) == sorted(expected.tolist())


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "line 3: 'text' is empty"),
        (" \t", "line 3: 'text' is empty"),
        (None, "line 3: 'text' is empty"),
        ("\ud800", "line 3: 'text' holds half a character"),
        (3, "line 3: 'text' is a number, but line 1 has a text"),
        ([1, 2], r"line 3: 'text' is of the shape \[2\], but line 1 has a text"),
        ([1, [2]], r"line 3: 'text' is \[1, \[2\]\], expected a text, a number, or lists of"),
        (["a"], r"line 3: 'text' is \[\"a\"\], expected a text"),
        ([], "line 3: 'text' is of the shape"),
        ({"a": 1}, r"line 3: 'text' is \{\"a\": 1\}, expected a text"),
        (10**30, "line 3: 'text' is 1000000000000000000000000000000, expected a text"),
    ],
)
def test_what_is_no_example_is_said_with_its_line(cell, message):
    rows = [{"text": each, "sort": "a"} for each in ("x", "y", cell, "z")]

    with pytest.raises(DataError, match=message):
        table(json_of(rows)).load(0)


def test_an_input_that_takes_no_such_examples_says_so():
    path = json_of({"text": [n], "sort": "ab"[n % 2]} for n in range(40))

    with pytest.raises(DataError, match=r"holds int64 arrays of shape \(1,\), and pictures are"):
        table(path, ImageInput()).load(0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path_column": "path"}, "needs one of 'path_column' and 'input_column'"),
        ({"path_column": None, "input_column": None}, "needs one of 'path_column' and"),
        ({"input_column": None, "name_column": "id"}, "names examples of 'input_column'; files"),
        ({"name_column": "text"}, "names the column 'text' twice"),
    ],
)
def test_columns_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        table("table.csv", **settings)


def test_a_resolved_table_says_the_same_again():
    source = table("table.csv", name_column="id")

    assert Table.model_validate(source.model_dump()) == source
    assert source.path_column is None
    assert Table(path="a.csv", class_column="x", input=Words()).path_column == "path"
