"""Where examples to predict are found."""

import io
import os

import numpy as np
import pytest
from PIL import Image
from shown import shown_lines

from kft.errors import DataError
from kft.sources.unlabelled import Finder, Unlabelled, Unread, endings_of, inputs_of

FOLDER = {"kind": "folder", "input": {"kind": "image"}}
TABLE = {"kind": "table", "path_column": "photo"}
TEXTS = {"kind": "table", "input_column": "text", "input": {"kind": "mine:Text"}}
MINE = {"kind": "folder", "input": {"kind": "mine:Text"}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, content="content"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def names(found):
    return [each.name for each in found]


def test_a_file_is_an_example_whatever_its_ending(here):
    write(here / "a.doc")

    (found,) = Finder(FOLDER).find("a.doc")

    assert found == Unlabelled("a.doc", "a.doc")
    assert found.raw() == b"content"


def test_what_is_not_there_is_found_out_when_it_is_read(here):
    (found,) = Finder(FOLDER).find("gone.jpg")

    with pytest.raises(OSError, match="No such file"):
        found.raw()


def test_a_folder_gives_its_files_with_their_folders_as_people_count(here):
    for name in ("cats/10.jpg", "cats/2.JPG", "dogs/old/1.png", "top.jpg", "notes.txt"):
        write(here / "new" / name)

    with shown_lines() as lines:
        found = [*Finder(FOLDER).find("new")]

    assert names(found) == [
        f"new/{name}" for name in ("cats/2.JPG", "cats/10.jpg", "dogs/old/1.png", "top.jpg")
    ]
    assert [each.folder for each in found] == ["cats", "cats", "dogs/old", None]
    assert lines == ["note: new: passes over what the model does not read: .txt 1"]


@pytest.mark.parametrize(
    ("files", "held"), [((), "no files"), (("a.txt", "b.txt"), r"only \.txt 2")]
)
def test_a_folder_without_a_file_to_read_says_what_it_holds(here, files, held):
    (here / "new").mkdir()
    for name in files:
        write(here / "new" / name)

    (found,) = Finder(FOLDER).find("new")

    assert found.name == "new"
    assert found.reason.startswith(f"Holds {held}; the model reads .jpg".replace("\\", ""))


def test_a_folder_that_may_not_be_listed_is_no_example(here, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    (here / "new").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)

    (found,) = Finder(FOLDER).find("new")

    assert found == Unread("new", "its folder 'new/' cannot be listed: Permission denied")


@pytest.mark.parametrize("data", [MINE, TEXTS])
def test_an_input_of_the_users_may_read_any_file(here, data):
    for name in ("a.one", "b", "c.jpg"):
        write(here / "new" / name)

    assert names(Finder(data).find("new")) == ["new/a.one", "new/b", "new/c.jpg"]


def test_endings_are_those_of_the_runs_input():
    images = endings_of(inputs_of(FOLDER))

    assert {".jpg", ".heic"} <= {*images}
    assert endings_of(inputs_of({"kind": "folder"})) == images
    assert endings_of(inputs_of({"kind": "arrays", "input": {"kind": "tensors"}})) == ()
    assert endings_of(inputs_of(MINE)) == ()
    assert {*images} <= {*endings_of(inputs_of({}))}


@pytest.mark.parametrize("data", [FOLDER, {}])
def test_a_file_that_no_server_reads_is_converted(here, data):
    picture = Image.fromarray(np.arange(48, dtype="uint8").reshape(4, 4, 3))
    for name in ("a.tif", "a.png", "cut.tif"):
        picture.save(here / name.replace("cut", "a"))
    write(here / "cut.tif", "II*\0")
    finder = Finder(data)

    converted, same, cut = (
        example for name in ("a.tif", "a.png", "cut.tif") for example in finder.find(name)
    )

    with Image.open(io.BytesIO(finder.served(converted))) as found:
        assert found.format == "PNG"
        np.testing.assert_array_equal(found, picture)
    assert finder.served(same) == (here / "a.png").read_bytes()
    with pytest.raises(ValueError, match="TIFF"):
        finder.served(cut)


def test_a_pattern_gives_what_matches_it_in_order(here):
    for name in ("p10.jpg", "p2.jpg", "q.jpg", "sub/deep/p3.jpg"):
        write(here / name)

    finder = Finder(FOLDER)

    assert names(finder.find("p*.jpg")) == ["p2.jpg", "p10.jpg"]
    assert names(finder.find("**/p*.jpg")) == ["p2.jpg", "p10.jpg", "sub/deep/p3.jpg"]
    assert names(finder.find("s*")) == ["sub/deep/p3.jpg"]
    assert names(finder.find("sub/**")) == ["sub/deep/p3.jpg"]
    assert [*finder.find("*.gif")] == [Unread("*.gif", "No file matches it")]


def test_a_file_whose_name_is_a_pattern_is_itself(here):
    write(here / "a[1].jpg")
    write(here / "a1.jpg")

    assert names(Finder(FOLDER).find("a[1].jpg")) == ["a[1].jpg"]


def test_a_table_is_read_as_that_of_the_run(here):
    write(here / "in/a.jpg")
    write(here / "in/t.csv", "photo,other\na.jpg,x\n,y\n")

    found = [*Finder(TABLE).find("in/t.csv")]

    assert found == [
        Unlabelled("in/a.jpg", "in/a.jpg"),
        Unread("in/t.csv, line 3", "'photo' is empty"),
    ]


def test_another_column_can_be_named(here):
    write(here / "t.csv", "photo,other\na.jpg,b.jpg\n")

    assert names(Finder(TABLE, "other").find("t.csv")) == ["b.jpg"]
    assert names(Finder(FOLDER, "other").find("t.csv")) == ["b.jpg"]


def test_a_table_of_a_run_without_one_is_read_by_the_column_that_names_files(here):
    write(here / "a.jpg")
    write(here / "t.csv", "number,photo,kind\n1,a.jpg,x\n")
    write(here / "one.csv", "anything\nb.jpg\n")

    assert names(Finder(FOLDER).find("t.csv")) == ["a.jpg"]
    assert names(Finder({}).find("t.csv")) == ["a.jpg"]
    assert names(Finder(FOLDER).find("one.csv")) == ["b.jpg"]


def test_paths_are_made_of_what_a_table_holds_as_in_that_of_the_run(here):
    for name in ("001", "002"):
        write(here / f"in/pics/{name}.jpg")
        write(here / f"in/pics/{name}.txt")
    write(here / "in/t.csv", "photo,kind\n001,a\n002,b\n")
    own = {**TABLE, "path_template": "pics/{}.jpg"}

    for data, column in ((own, None), (FOLDER, None), (FOLDER, "photo")):
        found = names(Finder(data, column).find("in/t.csv"))
        assert found == ["in/pics/001.jpg", "in/pics/002.jpg"]
    write(here / "in/masks/001.jpg")
    write(here / "in/masks/002.jpg")
    with pytest.raises(DataError, match="in several ways: .* Say which has them, or whole paths"):
        [*Finder(FOLDER).find("in/t.csv")]


def test_a_table_can_hold_the_examples(here):
    write(here / "t.csv", "text,id\n good ,first\nbad,second\n")
    write(here / "t.jsonl", '{"text": [1, 2]}\n{"text": [3, 4]}\n')

    by_content = [*Finder(TEXTS).find("t.csv")]
    named = [*Finder({**TEXTS, "name_column": "id"}).find("t.csv")]
    arrays = [*Finder(TEXTS).find("t.jsonl")]

    assert [each.raw() for each in by_content] == [" good ", "bad"]
    assert all(len(name) == 16 for name in names(by_content))
    assert names(named) == ["first", "second"]
    np.testing.assert_array_equal([each.raw() for each in arrays], [[1, 2], [3, 4]])


def test_a_column_that_is_not_there_names_the_option(here):
    write(here / "t.csv", "foto,other\na.jpg,x\n")

    with pytest.raises(
        DataError,
        match=r"^t\.csv: has no column 'photo'. Did you mean 'foto'\? Say .*--column NAME",
    ):
        [*Finder(TABLE).find("t.csv")]


def test_a_table_that_is_no_table_says_why(here):
    write(here / "t.csv", '"photo\n')

    with pytest.raises(DataError, match=r"^t\.csv: is no CSV: .*Close the quotes"):
        [*Finder(TABLE).find("t.csv")]


def test_files_of_an_input_of_the_users_are_no_tables_unless_that_is_said(here):
    write(here / "t.csv", "photo\na.jpg\n")

    assert names(Finder(MINE).find("t.csv")) == ["t.csv"]
    assert names(Finder(MINE, "photo").find("t.csv")) == ["a.jpg"]


def test_a_url_is_read_by_tensorflow(here):
    write(here / "far/cats/a.jpg", "far")

    (file,) = Finder(FOLDER).find(f"file://{here}/far/cats/a.jpg")
    (inside,) = Finder(FOLDER).find(f"file://{here}/far")
    (gone,) = Finder(FOLDER).find(f"file://{here}/gone.jpg")

    assert file.raw() == inside.raw() == b"far"
    assert inside.folder == "cats"
    with pytest.raises(OSError, match="No such file"):
        gone.raw()


def test_an_array_is_itself():
    array = np.arange(3)

    assert Unlabelled("0", held=array).raw() is array
