"""A table of files: what it says, and what is wrong with it, in words."""

import json
import os
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from kft.cache.decode import decode_all, why_bad
from kft.data import Target
from kft.errors import DataError
from kft.image.input import ImageInput
from kft.results.report import write_beginning
from kft.sources.exclude import load_splits
from kft.sources.tables.table import Table

INPUT = ImageInput(size=(8, 8))


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Twenty files that hold their own names; nothing here decodes them."""
    (tmp_path / "pics").mkdir()
    for number in range(20):
        (tmp_path / f"pics/{number}.png").write_text(f"pics/{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text, name="table.csv", encoding="utf-8"):
    Path(name).write_text(text, encoding, newline="")
    return name


def table(text, name="table.csv", **settings):
    if not settings.keys() & {"label_columns", "value_columns"}:
        settings.setdefault("class_column", "breed")
    return Table(path=written(text, name), input=INPUT, **settings)


def lines(cells, size=20, head="path,breed", mark=","):
    """A line for each file, with what `cells` says of its number."""
    return "\n".join([head, *(f"pics/{n}.png{mark}{cells(n)}" for n in range(size))]) + "\n"


def breeds(number):
    return ["cat", "dog"][number % 2]


def told(source):
    """What each example has for a label, by name."""
    splits = source.load(0)
    return {
        name: split.labels[index].tolist()
        for split in splits.by_name().values()
        for index, name in enumerate(split.names)
    }


def fault(text, name="table.csv", **settings):
    with pytest.raises(DataError) as caught:
        table(text, name, **settings).load(0)
    return str(caught.value)


def test_a_class_is_the_name_in_its_column():
    splits = table(lines(breeds)).load(0)

    assert splits.target.names == ("cat", "dog")
    assert {part: split.size for part, split in splits.by_name().items()}["train"] > 8
    for split in splits.by_name().values():
        for index, name in enumerate(split.names):
            assert split.fetch(tf.constant(index, "int64")).numpy().decode() == name
            assert splits.target.names[split.labels[index]] == breeds(int(name[5:-4]))


@pytest.mark.parametrize(
    "text",
    [
        lines(breeds).replace("\n", "\r\n"),
        lines(breeds, head="path;breed", mark=";"),
        lines(breeds, head="path\tbreed", mark="\t"),
        lines(lambda n: f" {breeds(n)} , more", head=" path , breed,x"),
        lines(lambda n: f'"{breeds(n)}"') + "\n\n",
        lines(breeds).replace("pics/", "./pics/../pics/"),
        lines(breeds).replace("pics/", "pics\\"),
        "sep=;\r\n" + lines(breeds, head="path;breed", mark=";"),
    ],
    ids=["windows", "semicolons", "tabs", "spaces", "quotes", "steps", "backslashes", "excel"],
)
def test_the_ways_in_which_people_write_csv_say_the_same(text):
    assert told(table(text)) == told(table(lines(breeds)))


def test_a_mark_of_utf_8_and_letters_beyond_ascii_are_read():
    text = lines(lambda n: ["Käse", "猫"][n % 2])
    written(text, encoding="utf-8-sig")

    splits = Table(path="table.csv", class_column="breed", input=INPUT).load(0)

    assert splits.target.names == ("Käse", "猫")


def test_names_that_macos_writes_with_accents_apart_are_found():
    Path("pics/0.png").rename(normalize("NFD", "pics/Käse.png"))

    source = table(lines(breeds).replace("pics/0.png", normalize("NFC", "pics/Käse.png")))

    assert normalize("NFD", "pics/Käse.png") in told(source)


@pytest.mark.parametrize("cells", [["cat", "dog", "Cat"], ["cat", "dog", "cat\u200b"]])
@pytest.mark.parametrize("settings", [{}, {"label_columns": "breed"}])
def test_classes_and_labels_that_look_alike_are_noted(cells, settings):
    splits = table(lines(lambda n: cells[n % 3]), **settings).load(0)

    (note,) = splits.notes
    assert note.endswith("look alike: are they the same?")
    assert repr(cells[2]) in note


def test_classes_labels_and_columns_are_one_line_each():
    text = lines(lambda n: '"a\nb"' if n % 2 else '"c\td"')
    columns = lines(lambda n: f"{n % 2},{1 - n % 2}", head='path,"a\nb",c')

    named = [
        table(text),
        table(text, label_columns="breed"),
        table(columns, "columns.csv", label_columns=["a\nb", "c"]),
        table(columns, "columns.csv", value_columns=["a\nb", "c"]),
    ]

    expected = [(r"a\nb", r"c\td")] * 2 + [(r"a\nb", "c")] * 2
    assert [source.load(0).target.names for source in named] == expected


def test_a_path_that_is_no_text_is_refused_with_its_line():
    rows = json_lines(lambda n: []).replace("pics/3.png", r"pics/\ud800\u0000.png")

    assert "line 4: 'path' holds the character NUL" in fault(rows, "table.jsonl")


def test_absolute_paths_are_taken_as_they_are_and_named_from_the_table(tmp_path):
    text = lines(breeds).replace("pics/", f"{tmp_path}/pics/")

    assert told(table(text)) == told(table(lines(breeds)))


@pytest.mark.parametrize("written_as", ["../pics/", "{}/pics/"], ids=["relative", "absolute"])
def test_files_beside_the_folder_of_the_table_are_named_from_it_too(written_as, tmp_path):
    (tmp_path / "lists").mkdir()

    text = lines(breeds).replace("pics/", written_as.format(tmp_path))

    assert {*told(table(text, "lists/table.csv"))} == {f"../pics/{n}.png" for n in range(20)}


def beside(tmp_path, **settings):
    """A table of files that lie beside its folder."""
    (tmp_path / "lists").mkdir(exist_ok=True)
    return table(lines(breeds).replace("pics/", "../pics/"), "lists/table.csv", **settings)


@pytest.mark.parametrize("folder", ["../pics", "{}/pics"], ids=["names", "whole paths"])
def test_a_manifest_and_a_list_to_leave_out_may_give_whole_paths(folder, tmp_path):
    named = [f"{folder.format(tmp_path)}/{number}.png" for number in range(20)]
    rows = (f"{name},{'validation' if at < 4 else 'train'}\n" for at, name in enumerate(named))
    written("path,split\n" + "".join(rows), "split.csv")
    written(f"{named[7]}\t# blurred\n", "exclude.txt")
    source = beside(tmp_path, split={"manifest": "split.csv"}, exclude="exclude.txt")

    found = load_splits(source, 0)

    assert {*found.validation.names} == {f"../pics/{number}.png" for number in range(4)}
    assert "../pics/7.png" not in found.train.names
    assert found.sizes == {"train": 15, "validation": 4}


def test_what_a_run_writes_of_its_data_holds_no_absolute_path(tmp_path):
    (tmp_path / "pics/5.png").unlink()
    splits = beside(tmp_path, on_bad_input="skip").load(0)
    missing = {
        part: split.names.index("../pics/5.png")
        for part, split in splits.by_name().items()
        if "../pics/5.png" in split.names
    }
    ((part, at),) = missing.items()

    write_beginning(tmp_path, splits, {"../pics/5.png": why_bad(splits.by_name()[part], INPUT, at)})

    assert str(tmp_path) not in (tmp_path / "split.csv").read_text()
    skipped = (tmp_path / "skipped.csv").read_text()
    assert "../pics/5.png,No such file" in skipped
    assert str(tmp_path) not in skipped


def json_lines(tags):
    rows = ({"path": f"pics/{n}.png", "breed": breeds(n), "tags": tags(n)} for n in range(20))
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_json_lines_say_the_same_as_csv():
    assert told(table(json_lines(lambda n: []), "table.jsonl")) == told(table(lines(breeds)))


def has(number):
    """Labels of an example: none, one or two."""
    return [name for bit, name in enumerate(("red", "round")) if number >> bit & 1]


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        (lines(lambda n: "|".join(has(n))), "a.csv", {"label_columns": "breed"}),
        (lines(lambda n: " ".join(has(n))), "a.csv", {"label_columns": "breed", "separator": " "}),
        (json_lines(has), "a.jsonl", {"label_columns": "tags"}),
        (json_lines(lambda n: "|".join(has(n))), "a.jsonl", {"label_columns": "tags"}),
        (
            lines(lambda n: f"{n & 1},{str(bool(n & 2)).lower()}", head="path,red,round"),
            "a.csv",
            {"label_columns": ["red", "round"]},
        ),
    ],
    ids=["bars", "spaces", "list", "json text", "columns"],
)
def test_several_labels_are_ones_and_noughts(text, name, settings):
    source = table(text, name, **settings)

    assert source.load(0).target.names == ("red", "round")
    assert told(source) == {f"pics/{n}.png": [float(n & 1), float(n >> 1 & 1)] for n in range(20)}


def test_a_label_that_only_one_example_has_is_trained_on():
    text = lines(lambda n: "rare|red" if n == 7 else "red")

    splits = table(text, label_columns="breed").load(0)

    assert "pics/7.png" in splits.train.names
    assert any("test has no example of 'rare'" in note for note in splits.notes)


def test_values_are_numbers_and_the_target_has_their_mean_and_spread_in_train():
    text = lines(lambda n: f"{n},{-1000.5 * n}", head="path,age,price")

    splits = table(text, value_columns=["age", "price"]).load(0)

    train = np.array([[n, -1000.5 * n] for n in (int(name[5:-4]) for name in splits.train.names)])
    np.testing.assert_array_equal(splits.train.labels, train.astype("float32"))
    assert splits.target.names == ("age", "price")
    assert splits.target.means == pytest.approx(train.mean(axis=0))
    assert splits.target.deviations == pytest.approx(train.std(axis=0))
    assert splits.notes[0].startswith("'age' in train: from ")


def test_splits_groups_and_weights_have_columns():
    text = lines(
        lambda n: f"{breeds(n)},{['train', 'Val', 'test'][n // 2 % 3]},g{n % 6},{n}",
        head="path,breed,part,patient,weight",
    )
    named = {"split_column": "part", "group_column": "patient", "weight_column": "weight"}

    splits = table(text, **named).load(0)

    assert splits.test.names == [f"pics/{n}.png" for n in (4, 5, 10, 11, 16, 17)]
    assert splits.test.weights.tolist() == [4, 5, 10, 11, 16, 17]
    assert set(splits.validation.groups) == {"g2", "g3"}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("Training", "dev", "TEST"), None),
        (("0", "1", "2"), {"0": "train", "1": "validation", "2": "test"}),
        (("Lern", "lern", "Prüf"), {"lern": "train", "Pru\u0308f": "validation"}),
    ],
)
def test_a_column_may_call_the_splits_otherwise(words, names):
    text = lines(lambda n: f"{breeds(n)},{words[n // 2 % 3]}", head="path,breed,part")

    splits = table(text, split_column="part", split={"names": names}).load(0)

    assert sum(splits.sizes.values()) == 20
    last = splits.validation if splits.test is None else splits.test
    assert last.names == [f"pics/{n}.png" for n in (4, 5, 10, 11, 16, 17)]


def test_words_that_names_of_a_config_lack_are_refused():
    text = lines(lambda n: f"{breeds(n)},train", head="path,breed,part")

    message = fault(text, split_column="part", split={"names": {"a": "train", "b": "test"}})

    assert "line 2: 'part' is 'train', expected 'a', 'b', as data.split.names says" in message


def test_without_a_line_for_validation_train_gives_a_share():
    text = lines(lambda n: f"{breeds(n)},{['train', 'test'][n // 10]}", head="path,breed,part")

    splits = table(text, split_column="part").load(0)

    assert splits.test.size == 10
    assert splits.train.size + splits.validation.size == 10
    assert splits.notes == ("the data has no validation split: a share of 'train' is taken for it",)


def test_without_a_line_for_the_test_that_is_noted_once():
    text = lines(lambda n: f"{breeds(n)},{['train', 'val'][n // 10]}", head="path,breed,part")

    splits = table(text, split_column="part").load(0)

    assert splits.test is None
    assert splits.notes == ("the data has no test split: there is none",)


def test_a_table_at_a_url_names_files_beside_it(files):
    for number in range(20):
        url = f"ram://table/pics/{number}.png"
        tf.io.gfile.makedirs("ram://table/pics")
        tf.io.gfile.copy(str(files / f"pics/{number}.png"), url, overwrite=True)
    with tf.io.gfile.GFile("ram://table/table.csv", "w") as file:
        file.write(lines(breeds))

    source = Table(path="ram://table/table.csv", class_column="breed", input=INPUT)

    assert told(source) == told(table(lines(breeds)))
    train = source.load(0).train
    assert train.fetch(tf.constant(0, "int64")).numpy().decode() == train.names[0]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (lines(breeds), {"class_column": "bread"}, "has no column 'bread'. Did you mean 'breed'?"),
        ("", {}, "has no column 'breed'; has no column 'path'"),
        ("path,breed\n", {}, "has no line of data. Add a line for each example"),
        ("path,breed,breed\n", {}, "has two columns 'breed'. Give each column"),
        (
            lines(breeds, 22) + "pics/23.png,cat\n",
            {},
            "names 3 files not there, of 23: 'pics/20.png', 'pics/21.png', 'pics/23.png'. ",
        ),
        (
            lines(lambda n: "" if n in (3, 5) else breeds(n)),
            {},
            "has 2 faults: line 5: 'breed' is empty; line 7: 'breed' is empty. Correct these",
        ),
        (
            lines(lambda n: "old" if n == 1 else n),
            {"value_columns": ["breed"]},
            "line 3: 'breed' is 'old', no number that can be learned",
        ),
        (
            lines(lambda n: '"1,5"' if n == 1 else n),
            {"value_columns": ["breed"]},
            "has 1 fault: line 3: 'breed' is '1,5', no number that can be learned, which needs",
        ),
        (
            lines(lambda n: "1e19" if n == 1 else "nan"),
            {"value_columns": ["breed"]},
            "has 20 faults: line 2: 'breed' is 'nan', no number that can be learned; line 3: "
            "'breed' is '1e19'",
        ),
        (
            lines(lambda n: "cat,dog" * (n == 2)),
            {},
            "line 4: has 3 fields, but there are 2 columns",
        ),
        (
            lines(breeds) + "./pics/3.png,dog\n",
            {},
            "line 22: 'path' is 'pics/3.png', as in line 5",
        ),
        (lines(lambda n: '"cat'), {}, "line 3: is no CSV: ',' expected after"),
        (
            lines(lambda n: "a||b"),
            {"label_columns": "breed"},
            "is 'a||b', in which a label is empty",
        ),
        (lines(lambda n: "2"), {"label_columns": ["breed"]}, "'breed' is '2', expected 0 or 1"),
        (lines(lambda n: "0"), {"label_columns": ["breed"]}, "has no example of 'breed'"),
        (lines(lambda n: ""), {"label_columns": "breed"}, "has no label in any line"),
        (lines(lambda n: "cat"), {}, "has only the class 'cat'"),
        (
            lines(lambda n: f"{breeds(n)},tr", head="path,breed,part"),
            {"split_column": "part"},
            "line 2: 'part' is 'tr', expected train, validation or test",
        ),
        (
            lines(
                lambda n: f"{breeds(n)},{['train', 'val'][n // 10]},g{n % 5}", head="path,breed,s,g"
            ),
            {"split_column": "s", "group_column": "g"},
            "5 of its groups are in more than one split, such as 'g0' in train and validation",
        ),
        (
            lines(lambda n: f"{breeds(n)},-1", head="path,breed,w"),
            {"weight_column": "w"},
            "line 2: 'w' is -1, expected 0 or more",
        ),
        (
            lines(lambda n: f"{breeds(n)},0", head="path,breed,w"),
            {"weight_column": "w"},
            "gives every training example a weight of 0",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said_at_once(text, settings, message):
    assert message in fault(text, **settings)


def test_a_file_that_is_not_there_is_told_with_the_names_like_it(tmp_path):
    told = fault(lines(breeds).replace("pics/3.png", "pics/3.PNG"))

    assert (
        f"names 1 file not there, of 20: 'pics/3.PNG'. '{tmp_path}/pics' has no '3.PNG', but"
        in told
    )
    assert "'3.png'" in told
    assert told.endswith('start from the folder of the table, or set data.on_bad_input to "skip".')


def test_files_named_without_their_ending_are_shown_with_it(tmp_path):
    message = fault(lines(breeds).replace(".png", ""))

    assert "names 20 files not there, of 20: 'pics/0', " in message
    assert f"'{tmp_path}/pics' has no '0', but with an ending '0.png'. Correct" in message


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl"])
def test_paths_may_be_made_of_what_a_column_holds(tmp_path, name):
    for number in range(20):
        (tmp_path / f"pics/{number:06}.png").write_text("")
    rows = [{"id": f"{n:06}", "breed": breeds(n)} for n in range(20)]
    csv = "\n".join(["id,breed", *(f"{row['id']},{row['breed']}" for row in rows)])
    text = csv if name == "table.csv" else "\n".join(map(json.dumps, rows))

    source = table(text, name, path_column="id", path_template="pics/{}.png")

    assert {*told(source)} == {f"pics/{n:06}.png" for n in range(20)}
    whole, _ = source.whole(Target("class", ("cat", "dog")))
    assert whole.files[0] == f"{tmp_path}/pics/000000.png"
    assert "names 20 files not there, of 20: 'pics/000000.jpg', " in fault(
        text, name, path_column="id", path_template="pics/{}.jpg"
    )
    assert "line 3: 'id' is 'pics/000000.png', as in line 2" in fault(
        csv.replace("000001", "000000"), path_column="id", path_template="pics/{}.png"
    )


def test_a_template_may_be_a_url_or_name_a_cell_twice():
    text = lines(breeds).replace("pics/", "").replace(".png", "")

    for template in ("ram://photos/{}.png", "{}/{}.png"):
        whole, _ = table(text, path_template=template, on_bad_input="skip").whole(
            Target("class", ("cat", "dog"))
        )
        assert whole.files[3].endswith(template.replace("{}", "3"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path_template": "pics/.png"}, "has no {}, which stands for the cell. Add it"),
        (
            {"path_template": "{}.png", "input_column": "x"},
            "'path_template' makes paths of 'path_column', which it lacks",
        ),
    ],
)
def test_a_template_without_a_place_or_a_column_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Table(path="t.csv", class_column="breed", input=INPUT, **settings)


def test_a_number_has_no_underscore():
    message = fault(lines(lambda n: f"{n}_0" if n == 1 else n), value_columns=["breed"])

    assert "line 3: 'breed' is '1_0', no number that can be learned" in message


def test_a_folder_in_the_place_of_a_file_is_told_as_one(tmp_path):
    (tmp_path / "pics/more").mkdir()

    told = fault(lines(breeds) + "pics/more,dog\n")

    assert f"of 21: 'pics/more'. '{tmp_path}/pics/more' is a folder. Correct" in told


def test_only_the_first_of_many_faults_are_listed():
    told = fault(lines(lambda n: "x"), value_columns=["breed"])

    assert "has 20 faults" in told
    assert told.count("line ") == 10
    assert "; and 10 more. Correct these lines of the table" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.png", "breed": ', "line 1: is no JSON: "),
        ('"a.png"', "line 1: is no JSON object, such as"),
        ('[{"path": "a.png"}]', "is a JSON array, expected an object in each line. Write JSON lin"),
        ('{"path": "pics/1.png", "breed": ["cat"]}', """'breed' is ["cat"], expected one text"""),
        ('{"path": "pics/1.png", "breed": null}', "'breed' is empty"),
    ],
)
def test_what_is_wrong_with_json_lines_is_said(text, message):
    assert message in fault(text, "table.jsonl")


def test_other_encodings_are_refused():
    written(lines(lambda n: "Käse"), encoding="utf-16")

    with pytest.raises(
        DataError, match="is no text in UTF-8: its byte 0 is 255. Save it as UTF-8, w"
    ):
        Table(path="table.csv", class_column="breed", input=INPUT).load(0)


def test_missing_files_are_left_to_the_reading_if_bad_ones_are_skipped():
    splits = table(lines(breeds, 22), on_bad_input="skip").load(0)

    assert sum(splits.sizes.values()) == 22


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs one of 'class_column', 'label_columns' and 'value_columns'"),
        ({"class_column": "a", "value_columns": ["b"]}, "needs one of 'class_column'"),
        ({"class_column": "path"}, "names the column 'path' twice. Correct one"),
    ],
)
def test_a_table_predicts_one_thing(settings, message):
    with pytest.raises(ValidationError, match=message):
        Table(path="a.csv", input=INPUT, **settings)


def test_all_files_are_one_split_for_a_model_that_knows_the_names():
    source = table(lines(breeds))
    target = source.load(0).target

    whole, left_out = source.whole(target)

    assert (whole.size, left_out) == (20, "")
    assert whole.labels.tolist() == [0, 1] * 10
    apart = table(lines(lambda n: ["Ka\u0308fer", "cat"][n % 2]))
    assert apart.whole(Target("class", ("cat", "Käfer")))[0].labels.tolist() == [1, 0] * 10
    with pytest.raises(DataError, match="has 'owl', which the model does not know. Name the"):
        table(lines(lambda n: "owl")).whole(target)


def test_the_list_of_a_run_divides_the_same_table_again(files):
    first = table(lines(breeds)).load(0)
    rows = [f"{name},{part}" for part, split in first.by_name().items() for name in split.names]
    Path("split.csv").write_text("\n".join(["path,split", *rows]))

    again = table(lines(breeds), split={"manifest": "split.csv"}).load(7)

    assert {part: set(split.names) for part, split in again.by_name().items()} == {
        part: set(split.names) for part, split in first.by_name().items()
    }


WIDE = 100_000


def wide(head):
    """Two lines of many cells, 1 and 0."""
    names = ",".join(f"c{number}" for number in range(WIDE))
    rows = (f"pics/{n}.png,{breeds(n)}" + f",{n % 2}" * WIDE for n in range(2))
    return "\n".join([f"{head},{names}", *rows]) + "\n"


def test_a_table_of_many_columns_is_read_at_once(files):
    # Each name was looked for among all others: 75 s for so many.
    assert "has no column 'breed'. Known: bread, c0, c1" in fault(wide("path,bread"))
    flags = tuple(f"c{number}" for number in range(WIDE))
    found, _ = table(wide("path,breed"), label_columns=flags).whole(Target("multilabel", flags))

    assert found.labels.sum(axis=1).tolist() == [0, WIDE]


def test_a_table_with_a_cell_longer_than_any_name_says_so():
    long = "x" * 100_001

    assert "line 22: 'path' has 100001 characters, expected up to" in fault(
        lines(breeds) + f"{long},cat\n"
    )
    assert len(fault(lines(lambda number: "1" * 9999), value_columns=("breed",))) < 4000


def test_a_class_may_be_a_number_of_any_length():
    # Python's `int` takes no more than 4,300 digits.
    splits = table(lines(lambda number: "21"[number % 2] * 5000)).load(0)

    assert splits.target.names == ("1" * 5000, "2" * 5000)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"path": "\\ud800.png", "breed": "cat"}', r"'path' holds half a character, '\ud800'"),
        ('{"path": "pics/0.png", "breed": "\\ud800"}', r"'breed' holds half a character"),
        ('{"path": "a\\u0000b.png", "breed": "cat"}', "'path' holds the character NUL"),
        ('{"path": "pics/0.png", "breed": "a", "breed": "b"}', "an object has the key 'breed' tw"),
        ('{"path": ' + "[" * 9999 + "]" * 9999 + "}", "is no JSON: is nested more than 32 deep"),
    ],
)
@pytest.mark.parametrize("on_bad_input", ["stop", "skip"])
def test_json_that_holds_what_no_name_can_be_is_told(line, problem, on_bad_input):
    rows = [json.dumps({"path": f"pics/{n}.png", "breed": breeds(n)}) for n in range(1, 20)]

    assert problem in fault("\n".join([*rows, line]), "t.jsonl", on_bad_input=on_bad_input)


def test_more_labels_than_memory_is_for_are_refused(monkeypatch):
    monkeypatch.setattr("kft.sources.labels.label_columns.MOST_LABEL_BYTES", 100)

    told = fault(lines(lambda number: "cat|dog"), label_columns="breed")

    assert "has 2 labels for 20 examples, which are 40 numbers, expected up to 25" in told


def test_more_cells_than_memory_is_for_are_refused(monkeypatch):
    monkeypatch.setattr("kft.sources.table_file.MOST_CELLS", 39)

    assert "has more than 39 cells" in fault(lines(breeds))
    rows = "\n".join(json.dumps({"path": f"pics/{n}.png", "breed": "a"}) for n in range(20))
    assert "has more than 39 cells" in fault(rows, "t.jsonl")


def test_a_pipe_in_a_table_is_never_opened(files):
    os.mkfifo(files / "pics/pipe.png")
    rows = lines(breeds) + "pics/pipe.png,cat\n/dev/zero,dog\n"

    assert "names 2 files not there, of 22: 'pics/pipe.png', '../" in fault(rows)
    assert "pics/pipe.png': Is a pipe, no file" in fault(rows)
    whole, _ = table(rows, on_bad_input="skip").whole(Target("class", ("cat", "dog")))
    bad = decode_all(whole, INPUT, "").bad
    assert bad["pics/pipe.png"] == "Is a pipe, no file"
    (device,) = [why for name, why in bad.items() if name.endswith("../dev/zero")]
    assert device == "Is a device, no file"


def test_a_pipe_or_a_device_is_no_table(files):
    os.mkfifo(files / "pipe.csv")

    with pytest.raises(DataError, match=r"pipe.csv': cannot be read: Is a pipe, no file"):
        Table(path="pipe.csv", class_column="breed", input=INPUT).load(0)
