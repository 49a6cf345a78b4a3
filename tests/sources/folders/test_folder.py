import os
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from tiny import Bytes

from kft.cache.decode import decode_all
from kft.data import Target
from kft.errors import DataError
from kft.messages import natural
from kft.results.report import write_beginning
from kft.sources.folders.folder import Folder
from kft.sources.splitting.split_rule import SplitRule


class NoFileInput(Bytes):
    file_endings = ()


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name[-4:].encode())


def write_class(root, folder, count):
    write(root, *(f"{folder}/{number:03}.bin" for number in range(count)))


def folder(root, **settings):
    return Folder(path=str(root), input=Bytes(), **settings)


def all_names(splits):
    return sorted(name for split in splits.by_name().values() for name in split.names)


def test_class_folders_are_divided_by_the_rule(tmp_path):
    write_class(tmp_path, "dogs", 60)
    write_class(tmp_path, "cats", 60)

    splits = folder(tmp_path).load(0)

    assert splits.target.names == ("cats", "dogs")
    assert splits.train.size + splits.validation.size + splits.test.size == 120
    assert splits.train.size > 60
    assert splits.notes == ()


def test_names_labels_and_fetch_agree(tmp_path):
    write_class(tmp_path, "cats", 10)
    write_class(tmp_path, "dogs", 10)

    splits = folder(tmp_path).load(0)

    for split in splits.by_name().values():
        for index, name in enumerate(split.names):
            assert splits.target.names[split.labels[index]] == name.split("/")[0]
            assert split.fetch(tf.constant(index, "int64")) == (tmp_path / name).read_bytes()


def test_nested_files_belong_to_their_top_class_folder(tmp_path):
    write(tmp_path, *(f"cats/{day}/{number}.bin" for day in "ab" for number in range(3)))
    write_class(tmp_path, "dogs", 3)

    splits = folder(tmp_path).load(0)

    assert splits.target.names == ("cats", "dogs")
    assert sum(int((split.labels == 0).sum()) for split in splits.by_name().values()) == 6


def test_endings_count_in_any_case(tmp_path):
    write(tmp_path, *(f"{label}/{n}.{end}" for label in "ab" for n, end in enumerate(ENDINGS)))

    splits = folder(tmp_path).load(0)

    assert len(all_names(splits)) == 6


ENDINGS = ("BIN", "Raw", "bin")


def test_class_names_are_in_natural_order(tmp_path):
    for label in ("b10", "b2", "A1", "a3"):
        write_class(tmp_path, label, 3)

    splits = folder(tmp_path).load(0)

    assert splits.target.names == ("A1", "a3", "b2", "b10")


def test_natural_order_takes_any_name():
    names = ["", "10", "9", "²", "x²", "X", "x", "ä", "z", "10a", "1" * 200]

    ordered = sorted(names, key=natural)

    assert ordered == ["", "9", "10", "10a", "1" * 200, "X", "x", "x²", "z", "²", "ä"]


def test_the_order_on_disk_does_not_matter(tmp_path):
    forward, backward = tmp_path / "forward", tmp_path / "backward"
    names = [f"{label}/{number}.bin" for label in ("cats", "dogs") for number in range(20)]
    write(forward, *names)
    write(backward, *names[::-1])

    first, second = folder(forward).load(3), folder(backward).load(3)

    assert list(first.train.names) == list(second.train.names)
    assert list(first.test.names) == list(second.test.names)


@pytest.mark.parametrize("seed", range(3))
def test_added_or_deleted_files_move_no_other_of_a_hash(tmp_path, seed):
    write_class(tmp_path, "cats", 60)
    write_class(tmp_path, "dogs", 60)
    rule = SplitRule(method="hash")
    before = folder(tmp_path, split=rule).load(seed).by_name()
    write_class(tmp_path, "cats", 150)
    for number in range(40, 60):
        (tmp_path / f"dogs/{number:03}.bin").unlink()

    after = folder(tmp_path, split=rule).load(seed).by_name()

    for name, split in before.items():
        there = {example for example in split.names if (tmp_path / example).exists()}
        assert there <= set(after[name].names)


def test_where_the_folder_lies_does_not_matter(tmp_path):
    write_class(tmp_path / "here", "cats", 30)
    write_class(tmp_path / "here", "dogs", 30)
    before = folder(tmp_path / "here").load(0)
    (tmp_path / "here").rename(tmp_path / "there")

    after = folder(tmp_path / "there").load(0)

    assert list(before.test.names) == list(after.test.names)


@pytest.mark.parametrize("validation", ["validation", "val", "valid", "Val"])
def test_split_folders_are_kept_as_they_are(tmp_path, validation):
    for split, count in (("train", 5), (validation, 2), ("test", 3)):
        write_class(tmp_path, f"{split}/cats", count)
        write_class(tmp_path, f"{split}/dogs", count)

    splits = folder(tmp_path, split=SplitRule(validation=0.4, test=0.4)).load(0)

    assert (splits.train.size, splits.validation.size, splits.test.size) == (10, 4, 6)
    assert splits.validation.names[0] == f"{validation}/cats/000.bin"
    assert splits.target.names == ("cats", "dogs")
    assert splits.notes == ()


def test_without_a_validation_folder_a_share_of_train_is_taken(tmp_path):
    for label in ("cats", "dogs"):
        write_class(tmp_path, f"train/{label}", 100)
        write_class(tmp_path, f"test/{label}", 2)

    splits = folder(tmp_path).load(0)

    assert splits.test.size == 4
    assert (splits.train.size, splits.validation.size) == (170, 30)
    assert any("a share of 'train' is taken" in note for note in splits.notes)


def test_without_a_test_folder_there_is_no_test_split(tmp_path):
    for split in ("train", "val"):
        write_class(tmp_path, f"{split}/cats", 3)
        write_class(tmp_path, f"{split}/dogs", 3)

    splits = folder(tmp_path).load(0)

    assert splits.test is None
    assert splits.notes == ("the data has no test split: there is none",)


def test_train_alone_is_a_split_folder(tmp_path):
    write_class(tmp_path, "train/cats", 10)
    write_class(tmp_path, "train/dogs", 10)

    splits = folder(tmp_path).load(0)

    assert splits.test is None
    assert splits.target.names == ("cats", "dogs")


@pytest.mark.parametrize(
    "words",
    [
        ("Training", None, "Testing"),
        ("train", None, "testing"),
        ("train", None, "eval"),
        ("training_set", None, "test_set"),
        ("TRAIN", "Dev", "HOLDOUT"),
        ("Training Data", "val-set", "Test Data"),
        ("trainset", "validation_set", "hold-out"),
    ],
)
def test_split_folders_may_have_any_usual_name(tmp_path, words):
    for word, count in zip(words, (12, 4, 6), strict=True):
        for label in ("oak", "elm") if word else ():
            write_class(tmp_path, f"{word}/{label}", count)

    splits = folder(tmp_path).load(0)

    assert splits.target.names == ("elm", "oak")
    assert all(name.startswith(f"{words[2]}/") for name in splits.test.names)
    assert splits.test.size == 12
    assert splits.train.size + splits.validation.size == (32 if words[1] else 24)


def test_names_of_a_config_are_the_only_splits(tmp_path):
    for word in ("Lern", "mehr", "Pru\u0308f", "test"):
        write_class(tmp_path, f"{word}/oak", 3)
        write_class(tmp_path, f"{word}/elm", 3)
    names = {"lern": "train", "mehr": "train", "Prüf": "validation"}

    splits = folder(tmp_path, split=SplitRule(names=names)).load(0)

    assert splits.sizes == {"train": 12, "validation": 6}
    assert splits.notes == (
        "passed over 'test', in which the same folders lie as in the splits: data.split.names can "
        "say what is which split",
        "the data has no test split: there is none",
    )


def test_without_any_name_all_folders_are_classes(tmp_path):
    for label in ("dev", "test", "train"):
        write_class(tmp_path, f"{label}/a", 3)
        write_class(tmp_path, f"{label}/b", 3)

    splits = folder(tmp_path, split=SplitRule(names={})).load(0)

    assert splits.target.names == ("dev", "test", "train")
    assert splits.notes == ()


def test_names_that_no_folder_has_are_refused(tmp_path):
    write_class(tmp_path, "Lern/oak", 3)

    with pytest.raises(DataError, match="no folder 'Prüf', which data.split.names has; it has 'L"):
        folder(tmp_path, split=SplitRule(names={"Lern": "train", "Prüf": "test"})).load(0)


def test_classes_that_hold_the_same_folders_are_noted(tmp_path):
    for word in ("Lern", "Pruef"):
        for label in ("oak", "elm", *(["fir"] if word == "Lern" else [])):
            write_class(tmp_path, f"{word}/{label}", 5)
    write(tmp_path, "notes/oak/read.me")

    splits = folder(tmp_path).load(0)

    assert splits.target.names == ("Lern", "Pruef")
    assert (
        "all classes, 'Lern', 'Pruef', hold the same folders 'elm', 'oak'. If those are the "
        "classes, say in data.split.names which split each of the others is" in splits.notes
    )


def test_splits_within_the_classes_are_noted(tmp_path):
    for label in ("oak", "elm"):
        for word in ("Training", "Testing"):
            write_class(tmp_path, f"{label}/{word}", 5)

    splits = folder(tmp_path).load(0)

    assert splits.notes == (
        "all classes hold the folders 'Testing', 'Training', which are not taken for splits: they "
        "would have to lie above the classes",
    )


@pytest.mark.parametrize("inner", [("images",), ("a", "b")])
def test_folders_that_only_some_classes_hold_are_not_noted(tmp_path, inner):
    for label in ("oak", "elm"):
        for each in inner:
            write_class(tmp_path, f"{label}/{each}", 5)
    if len(inner) > 1:
        write_class(tmp_path, "fir", 5)

    assert folder(tmp_path).load(0).notes == ()


def test_words_for_splits_among_classes_are_classes(tmp_path):
    for label in ("dev", "prod", "test"):
        write_class(tmp_path, label, 5)

    assert folder(tmp_path).load(0).target.names == ("dev", "prod", "test")


def test_flat_split_folders_beside_another_are_refused_with_the_way_out(tmp_path):
    for label in ("train", "test", "sample"):
        write_class(tmp_path, label, 5)

    with pytest.raises(
        DataError, match=r"none in a class folder.*; 'test', 'train' are splits, unless .* is \{\}"
    ):
        folder(tmp_path).load(0)


def test_train_beside_other_vehicles_is_a_class(tmp_path):
    for label in ("train", "bus", "tram"):
        write_class(tmp_path, label, 5)

    splits = folder(tmp_path).load(0)

    assert splits.target.names == ("bus", "train", "tram")


def test_a_test_folder_without_classes_is_noted(tmp_path):
    for label in ("cats", "dogs"):
        write_class(tmp_path, f"train/{label}", 10)
    write(tmp_path, "test/1.bin", "test/2.bin", "labels/cats/1.bin")

    splits = folder(tmp_path).load(0)

    assert splits.test is None
    assert {
        "passed over 2 files in no class folder: 'test/1.bin', 'test/2.bin'",
        "passed over 'labels', in which the same folders lie as in the splits: data.split.names "
        "can say what is which split",
    } < {*splits.notes}


def test_a_class_that_validation_lacks_is_noted(tmp_path):
    write_class(tmp_path, "train/cats", 3)
    write_class(tmp_path, "train/dogs", 3)
    write_class(tmp_path, "val/cats", 3)

    splits = folder(tmp_path).load(0)

    assert "validation has no example of 'dogs'" in splits.notes


def test_litter_is_passed_over(tmp_path):
    write_class(tmp_path, "cats", 3)
    write_class(tmp_path, "dogs", 3)
    write(tmp_path, "cats/._1.bin", ".git/1.bin", "__MACOSX/cats/1.bin", "cats/Thumbs.db")
    write(tmp_path, "dogs/@eaDir/1.bin", ".DS_Store", "desktop.ini", "dogs/.hidden/1.bin")

    splits = folder(tmp_path).load(0)

    assert len(all_names(splits)) == 6
    assert splits.target.names == ("cats", "dogs")
    assert splits.notes == ("passed over hidden folders: '.git', 'dogs/.hidden'",)


def test_what_gives_no_example_is_noted(tmp_path):
    write_class(tmp_path, "cats", 3)
    write_class(tmp_path, "dogs", 3)
    write(tmp_path, "cats/a.txt", "b.TXT", "dogs/c.zip", "dogs/LICENSE", "loose.bin")
    write(tmp_path, "notes/read.me")
    (tmp_path / "eels").mkdir()
    (tmp_path / "cats/gone.bin").symlink_to(tmp_path / "nowhere.bin")
    (tmp_path / "cats/self.bin").symlink_to(tmp_path / "cats/self.bin")

    splits = folder(tmp_path).load(0)

    assert splits.target.names == ("cats", "dogs")
    assert splits.notes == (
        "passed over 5 files with other endings: .txt 2, .me 1, .zip 1, no ending 1",
        "passed over 1 file in no class folder: 'loose.bin'",
        "no class for folders without a file to read: 'eels', 'notes'",
        "passed over what is neither file nor folder: 'cats/gone.bin', 'cats/self.bin'",
    )


def test_linked_folders_are_followed_once(tmp_path):
    root = tmp_path / "data"
    write_class(root, "cats", 3)
    write_class(root, "dogs", 3)
    write_class(tmp_path / "elsewhere", "eels/deep", 4)
    (root / "eels").symlink_to(tmp_path / "elsewhere/eels")
    (root / "cats/again").symlink_to(root)
    (root / "felines").symlink_to(root / "cats")
    (tmp_path / "elsewhere/eels/loop").symlink_to(root / "eels")

    splits = folder(root).load(0)

    assert splits.target.names == ("cats", "dogs", "eels")
    assert len(all_names(splits)) == 10
    assert splits.notes == (
        "passed over links to folders that are read already: 'cats/again', 'eels/loop', 'felines'",
    )


def test_names_that_are_not_utf8_are_read(tmp_path):
    write_class(tmp_path, "cats", 3)
    write_class(tmp_path, "dogs", 2)
    (tmp_path / "dogs" / os.fsdecode(b"\xff.bin")).write_bytes(b"odd!")

    splits = folder(tmp_path).load(0)

    found = [
        split.fetch(tf.constant(index, "int64")).numpy()
        for split in splits.by_name().values()
        for index, name in enumerate(split.names)
        if name == "dogs/\\xff.bin"
    ]
    assert found == [b"odd!"]


def composed(name):
    return unicodedata.normalize("NFC", name)


def test_names_with_accents_are_read(tmp_path):
    label = unicodedata.normalize("NFD", "Käfer")
    write_class(tmp_path, label, 3)
    write_class(tmp_path, "鳥", 3)

    splits = folder(tmp_path).load(0)

    assert splits.target.names == (label, "鳥")
    assert splits.train.fetch(tf.constant(0, "int64")).numpy()


def test_class_folders_that_look_alike_are_noted_with_both_spellings(tmp_path):
    for label in ("café", unicodedata.normalize("NFD", "café"), "owl", "owl "):
        write_class(tmp_path, label, 4)

    splits = folder(tmp_path).load(0)

    assert len(splits.target.names) == 4
    assert splits.notes == (
        r"'cafe\u0301' and 'caf\xe9' look alike: are they the same?",
        "'owl' and 'owl ' look alike: are they the same?",
    )


def test_class_names_are_one_line_each(tmp_path):
    for label in ("a\nb", "c\x1b[31m\u2028", os.fsdecode(b"\xffd"), "e"):
        write_class(tmp_path, label, 9)

    splits = folder(tmp_path).load(0)

    assert splits.target.names == (r"\xffd", r"a\nb", r"c\x1b[31m\u2028", "e")
    assert r"a\nb/000.bin" in all_names(splits)
    write_beginning(tmp_path, splits, {})
    assert Target.from_json((tmp_path / "target.json").read_text("utf-8")) == splits.target


@pytest.mark.parametrize("seed", range(6))
def test_the_unicode_form_of_names_changes_nothing(tmp_path, seed):
    names = [f"{label}/Bär {n}/{n}.bin" for label in ("ätz", "Zug", "Öl", "zz") for n in range(4)]
    for form in ("NFC", "NFD"):
        write(tmp_path / form, *(unicodedata.normalize(form, name) for name in names))
    rule = SplitRule(group=r"Bär (\d)")

    one, other = (folder(tmp_path / form, split=rule).load(seed) for form in ("NFC", "NFD"))

    assert tuple(map(composed, other.target.names)) == one.target.names
    for part, split in one.by_name().items():
        there = other.by_name()[part]
        assert [*map(composed, there.names)] == split.names
        assert there.labels.tolist() == split.labels.tolist()
        assert there.groups == split.groups


def test_a_split_without_its_own_classes_shows_which_spelling_is_where(tmp_path):
    write_class(tmp_path, "train/owl", 3)
    write_class(tmp_path, "train/Bär", 3)
    write_class(tmp_path, unicodedata.normalize("NFD", "test/Bär"), 3)

    with pytest.raises(DataError, match=r"classes 'B\\xe4r', 'owl', but test has 'Ba\\u0308r'\. "):
        folder(tmp_path).load(0)


def test_all_files_are_one_split_for_a_model_that_knows_the_names_in_another_form(tmp_path):
    write_class(tmp_path, unicodedata.normalize("NFD", "Bär"), 3)
    write_class(tmp_path, "owl", 2)

    whole, _ = folder(tmp_path).whole(Target("class", ("Bär", "owl")))

    assert whole.labels.tolist() == [0, 0, 0, 1, 1]
    with pytest.raises(DataError, match="has 'owl', which the model does not know"):
        folder(tmp_path).whole(Target("class", ("Bär", "Owl")))


def test_a_relative_path_is_kept_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    source = folder("data")

    assert source.path == str(tmp_path / "data")


def test_labels_are_int32(tmp_path):
    write_class(tmp_path, "cats", 3)
    write_class(tmp_path, "dogs", 3)

    splits = folder(tmp_path).load(0)

    assert splits.train.labels.dtype == np.int32


def test_a_missing_folder_is_refused_with_names_like_it(tmp_path):
    (tmp_path / "Cats-Dogs").mkdir()

    with pytest.raises(
        DataError, match=r"data\.path '.*/cat-dogs': does not exist: .* but 'Cats-Dogs'\. Correct"
    ):
        folder(tmp_path / "cat-dogs").load(0)


def test_the_first_missing_part_of_a_path_is_named(tmp_path):
    with pytest.raises(DataError, match=f"'{tmp_path}' has no 'photos'. Correct the path"):
        folder(tmp_path / "photos/cats/deep").load(0)


def test_a_file_is_refused(tmp_path):
    write(tmp_path, "cats.bin")

    with pytest.raises(DataError, match="is a file, expected a folder. Give the folder it lies in"):
        folder(tmp_path / "cats.bin").load(0)


def test_an_archive_is_refused(tmp_path):
    write(tmp_path, "cats.zip")

    with pytest.raises(DataError, match="is an archive, expected a folder. Unpack it"):
        folder(tmp_path / "cats.zip").load(0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("labels.csv", 'is a table, expected a folder. Set data.kind to "table"'),
        ("data.npz", 'is a file of arrays, expected a folder. Set data.kind to "arrays"'),
        ("read.me", "is a file, expected a folder. .*; of files, a table is .csv or .jsonl"),
        ("data.npy", "is one array, expected a folder. Write it with its labels into an .npz file"),
    ],
)
def test_what_another_source_reads_is_told_where_it_belongs(tmp_path, name, message):
    (tmp_path / name).touch()

    with pytest.raises(DataError, match=message):
        folder(tmp_path / name).load(0)


def test_a_folder_of_records_says_how_those_are_read(tmp_path):
    write(tmp_path, "train-00000-of-00001.tfrecord")

    with pytest.raises(DataError, match=r"pattern of files, such as .*/\*\.tfrec\*"):
        folder(tmp_path).load(0)


def test_a_url_is_read_as_a_folder_is(tmp_path):
    names = [f"{label}/deep/{number}.bin" for label in ("cats", "dogs") for number in range(10)]
    names += ["cats/.hidden", "cats/a.txt", ".eels/1.bin", "__MACOSX/1.bin"]
    write(tmp_path, *names)
    for name in names:
        tf.io.gfile.makedirs(f"ram://{tmp_path.name}/{name.rpartition('/')[0]}")
        tf.io.gfile.copy(str(tmp_path / name), f"ram://{tmp_path.name}/{name}")

    near, far = folder(tmp_path).load(0), folder(f"ram://{tmp_path.name}").load(0)

    assert far.notes == near.notes != ()
    for name, split in near.by_name().items():
        assert far.by_name()[name].names == split.names
        first = tf.constant(0, "int64")
        assert far.by_name()[name].fetch(first) == split.fetch(first)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ram://nowhere/cats", "data.path 'ram://nowhere/cats': does not exist. Correct the URL"),
        ("ram://file/cats.bin", "is a file, expected a folder. Give the folder it lies in"),
        ("s4://bucket/cats", "is a URL of the kind 's4', which TensorFlow cannot read here. Insta"),
    ],
)
def test_a_url_that_cannot_be_listed_is_refused(url, message):
    with tf.io.gfile.GFile("ram://file/cats.bin", "wb") as file:
        file.write(b"cats")

    with pytest.raises(DataError, match=message):
        folder(url).load(0)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"is empty\. Give a folder with a folder for each class"):
        folder(tmp_path).load(0)


def test_a_folder_of_empty_folders_is_refused(tmp_path):
    (tmp_path / "cats").mkdir()

    with pytest.raises(DataError, match="is empty, but for folders. Give a folder"):
        folder(tmp_path).load(0)


def test_a_folder_without_readable_files_is_refused(tmp_path):
    write(tmp_path, "cats/a.txt", "cats/b.txt", "dogs/c.zip")

    with pytest.raises(DataError, match=r"found \.txt 2, \.zip 1\. Give .* reads \.bin, \.raw"):
        folder(tmp_path).load(0)


def test_many_endings_are_cut_short(tmp_path):
    write(tmp_path, *(f"cats/a.e{number:02}" for number in range(12)))

    with pytest.raises(DataError, match=r"\.e09 1 and 2 other endings"):
        folder(tmp_path).load(0)


def test_an_input_that_reads_no_files_is_refused(tmp_path):
    write_class(tmp_path, "cats", 3)

    with pytest.raises(DataError, match=r"NoFileInput' reads no files"):
        Folder(path=str(tmp_path), input=NoFileInput()).load(0)


def test_files_without_class_folders_are_refused(tmp_path):
    write(tmp_path, "cat.1.bin", "dog.1.bin")

    with pytest.raises(DataError, match="has 2 files, but none in a class folder.*Put the files"):
        folder(tmp_path).load(0)


def test_one_class_is_refused(tmp_path):
    write_class(tmp_path, "cats", 9)

    with pytest.raises(DataError, match="has 1 class to train on, 'cats'; expected 2 .* Put the"):
        folder(tmp_path).load(0)


def test_classes_one_folder_further_down_are_pointed_at(tmp_path):
    write_class(tmp_path, "PetImages/Cat", 3)
    write_class(tmp_path, "PetImages/Dog", 3)

    with pytest.raises(
        DataError, match="'Cat', 'Dog' are the classes or splits, give .*/PetImages'"
    ):
        folder(tmp_path).load(0)


def test_a_train_folder_without_examples_is_refused(tmp_path):
    write_class(tmp_path, "test/cats", 3)
    (tmp_path / "train").mkdir()

    with pytest.raises(DataError, match="has 0 class to train on; expected 2 or more"):
        folder(tmp_path).load(0)


def test_classes_that_train_lacks_are_refused(tmp_path):
    for label in ("train/cats", "train/dogs", "test/Cats", "val/eels"):
        write_class(tmp_path, label, 3)

    message = "train has the classes 'cats', 'dogs', but test has 'Cats', validation has 'eels'. Ad"
    with pytest.raises(DataError, match=message):
        folder(tmp_path).load(0)


def test_split_folders_without_train_are_refused(tmp_path):
    write_class(tmp_path, "val/cats", 3)
    write_class(tmp_path, "test/cats", 3)

    with pytest.raises(DataError, match="split folders 'test', 'val', but no 'train'. Add"):
        folder(tmp_path).load(0)
    whole, _ = folder(tmp_path).whole(Target("class", ("cats", "dogs")))
    assert whole.names == [f"{top}/cats/00{n}.bin" for top in ("test", "val") for n in range(3)]


def test_split_folders_beside_one_of_another_name_are_refused(tmp_path):
    for split in ("lern", "val", "test"):
        write_class(tmp_path, f"{split}/cats", 3)

    with pytest.raises(DataError, match="but no 'train'. Add .*, or say in data.split.names which"):
        folder(tmp_path).load(0)


@pytest.mark.parametrize("words", [("val", "valid"), ("dev", "Validation"), ("test", "eval")])
def test_two_folders_for_one_split_are_refused(tmp_path, words):
    for split in ("train", *words):
        write_class(tmp_path, f"{split}/cats", 3)

    message = "has more than one name for (validation|test): '.*'. Say in data.split.names which"
    with pytest.raises(DataError, match=message):
        folder(tmp_path).load(0)


def test_classes_too_small_to_divide_are_refused_all_at_once(tmp_path):
    write_class(tmp_path, "cats", 2)
    write_class(tmp_path, "dogs", 1)
    write_class(tmp_path, "eels", 9)

    with pytest.raises(DataError, match=r"data\.path .*: 'cats' has 2, 'dogs' has 1\. Add"):
        folder(tmp_path).load(0)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    write_class(tmp_path, "cats", 2)
    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(DataError, match="cannot be listed: Permission denied. Make the folder"):
        folder(tmp_path).load(0)


def test_a_file_that_no_memory_holds_is_bad_and_not_opened(tmp_path):
    write(tmp_path, "cats/a.bin", "dogs/b.bin")
    with (tmp_path / "dogs/b.bin").open("wb") as file:
        file.truncate(2**40)

    whole, _ = folder(tmp_path).whole(Target("class", ("cats", "dogs")))

    bad = decode_all(whole, Bytes(), "").bad
    assert bad == {"dogs/b.bin": "Has 1.1 TB, expected up to 1.1 GB"}


def test_a_pipe_is_no_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(DataError, match=r"pipe': is no folder: Is a pipe, no file. Correct the"):
        folder(tmp_path / "pipe").load(0)
