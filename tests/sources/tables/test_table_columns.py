"""What `kft init` makes of a table: which column says what, and when it asks instead."""

import json
from pathlib import Path

import pytest
import tensorflow as tf

from kft.errors import DataError
from kft.sources.tables.table_columns import recognise


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    (tmp_path / "pics").mkdir()
    for number in range(40):
        (tmp_path / f"pics/{number}.png").touch()
    monkeypatch.chdir(tmp_path)


def table(head, cells, size=40, name="table.csv"):
    """A table with a line for each file."""
    lines = [head, *(f"pics/{n}.png,{cells(n)}" for n in range(size))]
    Path(name).write_text("\n".join(lines), encoding="utf-8")
    return name


def breed(number):
    return ["tabby", "owl", "猫"][number % 3]


def settings(head, cells, **given):
    return recognise(table(head, cells), given).settings


@pytest.mark.parametrize(
    ("cells", "target"),
    [
        (breed, {"class_column": "x"}),
        (lambda n: n % 2, {"class_column": "x"}),
        (lambda n: n % 5, {"class_column": "x"}),
        (lambda n: ["", "red", "red|round"][n % 3], {"label_columns": "x"}),
        (lambda n: n / 7, {"value_columns": ["x"]}),
        (lambda n: 1000 + 7 * n, {"value_columns": ["x"]}),
        (lambda n: -(n % 25), {"value_columns": ["x"]}),
    ],
    ids=["text", "flag", "codes", "lists", "fractions", "prices", "many numbers"],
)
def test_the_only_column_beside_the_paths_is_what_is_predicted(cells, target):
    assert settings("image,x", cells) == {"path_column": "image"} | target


def test_columns_of_flags_are_several_labels():
    found = settings("image,red,round", lambda n: f"{n % 2},{str(n % 3 == 0).lower()}")

    assert found == {"path_column": "image", "label_columns": ["red", "round"]}


def test_what_numbers_each_line_or_differs_in_each_is_not_predicted():
    found = settings("image,row,note,breed,none", lambda n: f"{n},note {n},{breed(n)},same")

    assert found == {"path_column": "image", "class_column": "breed"}


def test_json_lines_may_list_labels():
    rows = ({"file": f"pics/{n}.png", "tags": ["a", "b"][: n % 3]} for n in range(40))
    Path("a.jsonl").write_text("\n".join(map(json.dumps, rows)))

    assert recognise("a.jsonl", {}).settings == {"path_column": "file", "label_columns": "tags"}


def test_a_column_of_splits_is_known_by_its_cells():
    found = settings("image,breed,part", lambda n: f"{breed(n)},{['train', 'Val'][n // 30]}")

    assert found == {"path_column": "image", "split_column": "part", "class_column": "breed"}


@pytest.mark.parametrize(
    ("words", "names"),
    [(("Training", "dev"), None), (("Lern", "Pruef"), {"lern": "train", "Pruef": "test"})],
)
def test_a_column_of_splits_is_known_by_other_words_too(words, names):
    given = {"split": {"names": names}}

    found = settings("image,breed,part", lambda n: f"{breed(n)},{words[n // 30]}", **given)

    assert found == {"path_column": "image", "split_column": "part", "class_column": "breed"}


def test_of_several_columns_the_one_that_is_called_label_is_predicted():
    found = recognise(
        table("image,patient,Label,age", lambda n: f"p{n % 9},{breed(n)},{n / 3}"), {}
    )

    assert found.settings == {"path_column": "image", "class_column": "Label"}
    assert found.reasons["data.class_column"] == "3 classes: 'tabby', 'owl', '猫'"
    assert found.reasons["other columns"].startswith("not used: 'patient', 'age'. If one says what")


def test_what_is_said_already_is_not_asked_for():
    table("image,patient,breed", lambda n: f"p{n % 9},{breed(n)}")

    with pytest.raises(DataError, match="could predict any of its columns 'patient', 'breed'. Say"):
        recognise("table.csv", {})
    assert recognise("table.csv", {"class_column": "breed"}).settings == {"path_column": "image"}
    assert recognise("table.csv", {"group_column": "patient"}).settings == {
        "path_column": "image",
        "class_column": "breed",
    }
    with pytest.raises(DataError, match="has no column 'bread'. Did you mean 'breed'"):
        recognise("table.csv", {"class_column": "bread"})


def test_codes_may_be_values_and_the_reason_says_how():
    found = recognise(table("image,stars", lambda n: n % 5), {})

    assert (
        '"value_columns": ["stars"] and the head "regressor"' in found.reasons["data.class_column"]
    )


@pytest.mark.parametrize(
    ("head", "cells", "message"),
    [
        (
            "image,mask,breed",
            lambda n: f"pics/{n}.png,{breed(n)}",
            "name files: 'image', 'mask'. Say",
        ),
        (
            "image,note",
            lambda n: f"note {n}",
            "has nothing to predict among its columns 'note'. Say",
        ),
        ("image", lambda n: "", "line 2: has 2 fields"),
    ],
)
def test_what_leaves_a_doubt_is_asked_for(head, cells, message):
    with pytest.raises(DataError, match=message):
        settings(head, cells)


def test_of_several_columns_with_files_the_one_called_path_is_taken():
    found = settings("mask,path,breed", lambda n: f"pics/{n}.png,{breed(n)}")

    assert found["path_column"] == "path"


def test_paths_that_lead_nowhere_are_shown(tmp_path):
    Path("a.csv").write_text("id,file,breed\n1.5,scan.png,cat\n2.5,more.png,dog\n")
    (tmp_path / "scan_1.png").touch()

    with pytest.raises(
        DataError,
        match=r"name files: 'file' says 'scan.png', and '.*' has no 'scan.png', but 'scan_1.png'. "
        "Write paths .*, or name the column, such as --set data.path_column=file",
    ):
        recognise("a.csv", {})


def test_a_table_without_paths_is_told_so():
    Path("a.csv").write_text("id,breed\nx1,cat\nx2,dog\n")

    with pytest.raises(
        DataError, match="no column whose cells name files, of 'id', 'breed'. Write the path of"
    ):
        recognise("a.csv", {})


def beside(tmp_path, folder, names):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        (tmp_path / folder / name).touch()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("folder", ["", "train/"])
@pytest.mark.parametrize("ids", [["0_0", "0_1", "1_0", "1_1"], [107, 108, 109, 110]])
def test_paths_are_made_of_names_without_folder_or_ending(tmp_path, name, folder, ids):
    rows = [
        {"id": each, "number": 1 + at % 3, "breed": "ab"[at % 2]} for at, each in enumerate(ids)
    ]
    csv = "\n".join(["id,number,breed", *(",".join(map(str, row.values())) for row in rows)])
    Path(name).write_text(csv if name == "a.csv" else "\n".join(map(json.dumps, rows)))
    beside(tmp_path, folder, [f"{each}{end}" for each in ids for end in (".jpg", ".txt")])

    found = recognise(name, {"class_column": "breed"}, endings=(".jpg", ".png"))

    assert found.settings == {"path_column": "id", "path_template": f"{folder}{{}}.jpg"}
    assert found.reasons["data.path_template"] == (
        f"the file of '{ids[0]}' is '{folder}{ids[0]}.jpg', and so on for the others"
    )
    with pytest.raises(
        DataError,
        match=f"'id' whose cells name files in several ways: '{folder}{{}}.jpg', "
        f"'{folder}{{}}.txt'. Say which: --set data.path_template='{folder}{{}}.jpg'",
    ):
        recognise(name, {"class_column": "breed"})


def test_files_may_lie_under_one_folder_in_or_beside_that_of_the_table(tmp_path):
    beside(tmp_path, "pictures/a", ["1.png", "2.png"])
    beside(tmp_path, "lists", [])
    for table in ("lists/t.csv", "t.csv"):
        Path(table).write_text("file,breed\na/1.png,cat\na\\2.png,dog\n")

    assert recognise("t.csv", {"class_column": "breed"}).settings["path_template"] == "pictures/{}"
    found = recognise("lists/t.csv", {"class_column": "breed"})
    assert found.settings["path_template"] == "../pictures/{}"


def test_a_column_or_a_template_that_is_said_asks_for_the_other(tmp_path):
    beside(tmp_path, "a", ["01.png", "02.png"])
    Path("t.csv").write_text("id,other,breed\n01,01,cat\n02,02,dog\n")
    said = {"class_column": "breed"}

    with pytest.raises(DataError, match="several columns that name files: 'id', 'other'. Say"):
        recognise("t.csv", said)

    of_column = recognise("t.csv", said | {"path_column": "id"}).settings
    assert of_column == {"path_template": "a/{}.png"}
    Path("t.csv").write_text("id,breed\n01,cat\n02,dog\n")
    of_template = recognise("t.csv", said | {"path_template": "a/{}.png"}).settings
    assert of_template == {"path_column": "id"}
    with pytest.raises(DataError, match="no column whose cells name files by 'b/{}.png', of 'id'"):
        recognise("t.csv", said | {"path_template": "b/{}.png"})
    wrong = said | {"path_column": "id", "path_template": "b/{}.png"}
    assert recognise("t.csv", wrong).settings == {}


def test_what_fits_too_few_files_makes_no_paths(tmp_path):
    beside(tmp_path, "a", [f"x{n}.png" for n in range(6)])
    Path("t.csv").write_text("\n".join(["id,breed", *(f"x{n},{n % 3}" for n in range(10))]))

    with pytest.raises(
        DataError,
        match="cells name files: of 10 in 'id' 6 do so by 'a/{}.png'. Write the path of each",
    ):
        recognise("t.csv", {"class_column": "breed"})


def test_a_table_of_ids_without_column_names_is_told_so(tmp_path):
    beside(tmp_path, "a", [f"{n}.png" for n in range(6)])
    Path("t.csv").write_text("\n".join(f"{n},{n % 3 + 7}" for n in range(6)))

    with pytest.raises(DataError, match="no line of column names: its first is about the file '0'"):
        recognise("t.csv", {})


def test_what_cannot_be_a_path_is_not_proposed_as_one():
    Path("a.csv").write_text("id,breed,where\nx1,st. bernard,a/b.png\nx2,owl,a/c.png\n")

    with pytest.raises(DataError, match="'where' says 'a/b.png', and .* data.path_column=where"):
        recognise("a.csv", {})
    with pytest.raises(DataError, match="name files, of 'id', 'breed'. Write the path of each"):
        recognise("a.csv", {"class_column": "where"})


def test_a_table_without_column_names_is_told_so():
    Path("a.csv").write_text("pics/0.png,cat\npics/1.png,dog\n")

    with pytest.raises(
        DataError, match="no line of column names: its first is about the file 'pics"
    ):
        recognise("a.csv", {})


def test_a_table_at_a_url_is_understood_too():
    tf.io.gfile.makedirs("ram://columns/pics")
    for number in range(40):
        with tf.io.gfile.GFile(f"ram://columns/pics/{number}.png", "w") as file:
            file.write("a picture")
    text = Path(table("image,breed", breed)).read_text(encoding="utf-8")
    with tf.io.gfile.GFile("ram://columns/table.csv", "w") as file:
        file.write(text)

    found = recognise("ram://columns/table.csv", {})

    assert found.settings == {"path_column": "image", "class_column": "breed"}
