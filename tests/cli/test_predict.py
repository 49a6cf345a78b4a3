"""``kft predict`` of a model that says how long files are."""

import csv
import json

import pytest
import tensorflow as tf
from click.testing import CliRunner

from kft.cli.main import main


class Long(tf.Module):
    """Says that a file is long or short, and that one that is empty is damaged."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="raw")])
    def serve(self, raw):
        tf.debugging.Assert(tf.reduce_all(raw != ""), ["this is empty"])
        score = tf.cast(tf.strings.length(raw), tf.float32) / 10.0
        scores = tf.stack([score, 1.0 - score], axis=1)
        order = tf.argsort(scores, axis=1, direction="DESCENDING")
        classes = tf.gather(tf.constant(["long", "short"]), order)
        return {"classes": classes, "scores": tf.gather(scores, order, batch_dims=1)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "saved"
    model = Long()
    signatures = {"serving_default": model.serve.get_concrete_function()}
    tf.saved_model.save(model, str(path), signatures=signatures)
    return str(path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, name, size in (("a", "1.png", 9), ("a", "2.png", 2), ("b", "10.png", 7)):
        (tmp_path / "new" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "new" / folder / name).write_bytes(size * b"x")
    return tmp_path


def predict(model, *words, given=None):
    return CliRunner().invoke(main, ["predict", model, *words], input=given)


def test_a_folder_becomes_lines_of_json_with_its_folders(model, here):
    told = predict(model, "new", "--json")

    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert told.exit_code == 0
    assert [line["file"] for line in lines] == ["new/a/1.png", "new/a/2.png", "new/b/10.png"]
    assert [line["folder"] for line in lines] == ["a", "a", "b"]
    assert [line["prediction"] for line in lines] == ["long", "short", "long"]
    assert [*lines[1]["scores"]] == ["short", "long"]


def test_top_says_how_many_classes_are_shown(model, here):
    all_of_them = predict(model, "new/a/1.png", "--json")
    best = predict(model, "new/a/1.png", "--json", "--top", "1")
    table = predict(model, "new/a/1.png", "--top", "1")

    assert json.loads(all_of_them.stdout)["scores"].keys() == {"long", "short"}
    assert json.loads(best.stdout)["scores"].keys() == {"long"}
    assert "long" in table.stdout
    assert "short" not in table.stdout


def test_a_csv_has_a_row_for_each_and_what_is_damaged_is_named(model, here):
    (here / "new/a/3.png").write_bytes(b"")

    told = predict(model, "new", "--csv", "out.csv")

    assert told.exit_code == 1
    assert told.stdout == ""
    assert "Error: new/a/3.png: cannot be read: this is empty.\n" in told.stderr
    assert "Wrote 3 predictions to out.csv" in told.stderr
    with (here / "out.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["file"] for row in rows] == ["new/a/1.png", "new/a/2.png", "new/b/10.png"]
    assert rows[1] == {
        "file": "new/a/2.png",
        "folder": "a",
        "prediction": "short",
        "score": "0.8",
        "prediction 2": "long",
        "score 2": "0.2",
    }


def test_a_csv_that_is_there_is_not_overwritten(model, here):
    (here / "out.csv").write_text("mine")

    told = predict(model, "new", "--csv", "out.csv")

    assert told.exit_code == 2
    assert "--csv: out.csv is there already. Give another file" in told.stderr
    assert (here / "out.csv").read_text() == "mine"


def test_json_and_csv_can_be_had_together(model, here):
    told = predict(model, "new", "--json", "--csv", "out.csv")

    assert len(told.stdout.splitlines()) == 3
    assert len((here / "out.csv").read_text().splitlines()) == 4


def test_names_come_on_standard_input(model, here):
    told = predict(model, "-", "--json", given=b"new/a/1.png\r\n\nnew/b/10.png")
    none = predict(model, "-", given=b"\n")

    assert [json.loads(line)["file"] for line in told.stdout.splitlines()] == [
        "new/a/1.png",
        "new/b/10.png",
    ]
    assert none.exit_code == 1
    assert "standard input: names no file. Give a name in each line." in none.stderr


def test_patterns_and_tables_are_files_too(model, here):
    (here / "t.csv").write_text("photo,id\nnew/b/10.png,1\n")

    told = predict(model, "new/*/1*.png", "t.csv", "--column", "photo", "--json")

    found = [json.loads(line)["file"] for line in told.stdout.splitlines()]
    assert found == ["new/a/1.png", "new/b/10.png", "new/b/10.png"]


def test_a_long_table_comes_in_parts_below_one_line_of_names(model, here):
    for number in range(70):
        (here / f"new/a/0{number}.png").write_bytes(b"xxx")

    told = predict(model, "new")

    head, *rows = told.stdout.splitlines()
    assert head.split() == ["file", "prediction", "score", "then"]
    assert len(rows) == 73
    assert len({row.index("%") for row in rows}) == 1
