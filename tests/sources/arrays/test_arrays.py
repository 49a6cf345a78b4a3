import io
import os
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import tensorflow as tf

from kft.data import Target
from kft.errors import DataError
from kft.image.input import ImageInput
from kft.sources.arrays.arrays import Arrays
from kft.sources.arrays.npz import read_npz
from kft.sources.arrays.tensors import Tensors

ROWS = np.outer(np.arange(60), [1, 10]).astype("float32")
LABELS = np.arange(60) % 3
FLAGS = np.stack([np.arange(60) % 2, np.arange(60) // 2 % 2], axis=1)


def source(path, save=np.savez, settings=None, **arrays):
    save(path / "data.npz", **arrays)
    kept = {"input": Tensors(shape=(2,))} | (settings or {})
    return Arrays(path=str(path / "data.npz"), **kept)


def keras_arrays(train=30, test=12):
    return {
        "x_train": ROWS[:train],
        "y_train": LABELS[:train, None],
        "x_test": ROWS[-test:],
        "y_test": LABELS[-test:, None],
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_names_rows_and_labels_agree(tmp_path, save):
    splits = source(tmp_path, save, x=ROWS, y=LABELS).load(0)

    assert splits.target.names == ("0", "1", "2")
    assert sum(split.size for split in splits.by_name().values()) == 60
    for split in splits.by_name().values():
        for index, name in enumerate(split.names):
            row = int(name.removeprefix("x/"))
            assert split.labels[index] == LABELS[row]
            assert split.fetch(tf.constant(index, "int64")).numpy().tolist() == [row, 10 * row]


def test_arrays_named_for_splits_are_kept_apart(tmp_path):
    splits = source(tmp_path, **keras_arrays()).load(0)

    assert splits.test.names == [f"x_test/{row}" for row in range(12)]
    assert splits.train.size + splits.validation.size == 30
    assert splits.test.fetch(tf.constant(0, "int64")).numpy().tolist() == [48, 480]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("training", "dev", "Testing"), None),
        (("a", "b", "c"), {"a": "train", "b": "validation", "c": "test"}),
    ],
)
def test_arrays_may_be_named_for_splits_by_other_words(tmp_path, words, names):
    arrays = {f"{key}_{word}": of for word in words for key, of in (("x", ROWS), ("y", LABELS))}

    splits = source(tmp_path, settings={"split": {"names": names}}, **arrays).load(0)

    for split, word in zip(splits.by_name().values(), words, strict=True):
        assert split.names == [f"x_{word}/{row}" for row in range(60)]


def test_two_arrays_for_one_split_are_refused(tmp_path):
    arrays = keras_arrays() | {"x_dev": ROWS, "y_dev": LABELS, "x_val": ROWS, "y_val": LABELS}

    with pytest.raises(DataError, match="more than one name for validation: 'dev', 'val'. Say in"):
        source(tmp_path, **arrays).load(0)


@pytest.mark.parametrize("dtype", ["U", "S", "O"])
def test_labels_that_are_text_name_classes_of_one_line_each(tmp_path, dtype):
    labels = np.array(["a\nb", "c", "C"], dtype)[LABELS]
    if dtype == "O":
        labels = np.array([str(label).encode() for label in labels])

    splits = source(tmp_path, x=ROWS, y=labels).load(0)

    assert splits.target.names == (r"a\nb", "C", "c")
    assert splits.notes == ("'C' and 'c' look alike: are they the same?",)


def test_rows_that_are_added_move_no_other_of_a_hash(tmp_path):
    rows, labels = np.tile(ROWS, (4, 1)), np.tile(LABELS, 4)
    by_hash = {"split": {"method": "hash"}}

    few = source(tmp_path, settings=by_hash, x=rows[:120], y=labels[:120]).load(0)
    many = source(tmp_path, settings=by_hash, x=rows, y=labels).load(0)

    for name, split in few.by_name().items():
        assert {*split.names} <= {*many.by_name()[name].names}


def test_what_lies_uncompressed_on_disk_takes_no_memory(tmp_path):
    arrays = {"x": np.asfortranarray(ROWS), "y": LABELS, "none": ROWS[:0]}
    np.savez(tmp_path / "a.npz", **arrays)

    found = read_npz(str(tmp_path / "a.npz"), "data.path")

    assert isinstance(found["x"], np.memmap)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_arrays_at_a_url_are_read(tmp_path):
    file = io.BytesIO()
    np.savez(file, x=ROWS, y=LABELS)
    with tf.io.gfile.GFile("ram://arrays.npz", "wb") as remote:
        remote.write(file.getvalue())

    splits = Arrays(path="ram://arrays.npz", input=Tensors(shape=(2,))).load(0)

    assert splits.train.size > 30


def test_labels_can_be_text(tmp_path):
    labels = np.array(["b2", "b10", "a"])[LABELS]

    splits = source(tmp_path, x=ROWS, y=labels).load(0)

    assert splits.target.names == ("a", "b2", "b10")
    row = int(splits.train.names[0].removeprefix("x/"))
    assert splits.target.names[splits.train.labels[0]] == labels[row]


def test_several_labels_are_columns_of_ones_and_noughts(tmp_path):
    settings = {"predicts": "multilabel", "class_names": ("red", "round")}

    splits = source(tmp_path, settings=settings, x=ROWS, y=FLAGS.astype(bool)).load(0)

    assert splits.target == Target("multilabel", ("red", "round"))
    rows = [int(name.removeprefix("x/")) for name in splits.train.names]
    np.testing.assert_array_equal(splits.train.labels, FLAGS[rows])


def test_values_are_numbers_and_columns_without_names_are_numbered(tmp_path):
    prices = ROWS * [0.5, -1e3]

    one = source(tmp_path, settings={"predicts": "value"}, x=ROWS, y=prices[:, 0]).load(0)
    two = source(tmp_path, settings={"predicts": "value"}, x=ROWS, y=prices).load(0)

    assert one.target.names == ("y",)
    assert two.target.names == ("y/0", "y/1")
    rows = [int(name.removeprefix("x/")) for name in two.train.names]
    np.testing.assert_array_equal(two.train.labels, prices[rows])
    assert two.target.means == pytest.approx(prices[rows].mean(axis=0))
    assert one.notes[0].startswith("'y' in train: from ")


def test_class_names_are_those_of_the_numbers(tmp_path):
    names = {"class_names": ("x", "y", "z")}

    splits = source(tmp_path, settings=names, x=ROWS, y=LABELS).load(0)

    assert splits.target.names == ("x", "y", "z")


def test_an_array_of_groups_keeps_them_together(tmp_path):
    patients = np.arange(60) // 6

    splits = source(tmp_path, settings={"groups": "who"}, x=ROWS, y=LABELS, who=patients).load(0)

    there = [{*split.groups} for split in splits.by_name().values()]
    assert sum(map(len, there)) == len(set.union(*there)) == 10


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 3), (9, 7, 4)])
def test_pixels_are_pictures(tmp_path, shape):
    pixels = np.full((60, *shape), 200, "uint8")
    pixels[..., -1:] = 255 if shape[-1] == 4 else 200
    images = {"input": ImageInput(size=(8, 8))}

    splits = source(tmp_path, settings=images, x=pixels, y=LABELS).load(0)

    read = splits.input.decode(splits.train.fetch(tf.constant(0, "int64")))
    assert np.unique(read).tolist() == [200]


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        ({"x": ROWS, "z": LABELS}, {}, "no array 'y'; it has 'x', 'z'. Set data.labels to the"),
        (
            {"z": ROWS},
            {},
            "has no array 'x'; it has 'z'. Set data.inputs to the name of one of these",
        ),
        ({"x_train": ROWS}, {}, "has no array 'y_train'; it has 'x_train'. Set data.labels"),
        ({"x_test": ROWS, "y_test": LABELS}, {}, "has no example for train among its 60"),
        ({"x": ROWS, "y": LABELS[1:]}, {}, r"has 60 examples in 'x', but 'y' is of shape \(59,\)"),
        ({"x": ROWS, "y": np.eye(3)[LABELS]}, {}, r"float64 and shape \(60, 3\), expected one wh"),
        ({"x": ROWS, "y": LABELS / 2}, {}, "labels of dtype float64 and shape .60,., expected one"),
        ({"x": ROWS, "y": LABELS * 0}, {}, r"has only the label \['0'\], expected two or more"),
        ({"x": ROWS, "y": LABELS}, {"class_names": ("a", "b")}, "the label 2, but there are 2 cl"),
        ({"x": ROWS, "y": LABELS - 1}, {"class_names": (*"abc",)}, "the label -1, but there are 3"),
        (
            {"x": ROWS, "y": LABELS},
            {"class_names": (*"abcd",)},
            "has no example of 'd'. Add examples",
        ),
        (
            {"x": ROWS, "y": np.array(["cat", "dog", "Dog"])[LABELS]},
            {"class_names": ("cat", "dog")},
            "the label 'Dog', which is no class name. Did you mean 'dog'\\? Correct",
        ),
        ({"x": ROWS[:, :1], "y": LABELS}, {}, r"takes float32 of shape \(2,\), but the data holds"),
        ({"x": ROWS.astype("U"), "y": LABELS}, {}, "but the data holds string of shape"),
        (
            {"x": ROWS, "y": LABELS},
            {"input": ImageInput()},
            "holds float32 arrays of shape .2,., and pictures are uint8 pixels .height, width.",
        ),
        (
            {"x": ROWS, "y": FLAGS * 2},
            {"predicts": "multilabel"},
            "has the label 2, expected 0 or 1. Set each label to 0 or 1",
        ),
        ({"x": ROWS, "y": FLAGS * 0}, {"predicts": "multilabel"}, "no example of 'y/0', 'y/1'. Ad"),
        (
            {"x": ROWS, "y": FLAGS},
            {"predicts": "multilabel", "class_names": (*"abc",)},
            "has 2 numbers for each example, but there are 3 class names. Give one name for each",
        ),
        (
            {"x": ROWS, "y": np.full(60, np.inf)},
            {"predicts": "value"},
            "has the label inf, expected a number",
        ),
        (
            {"x": ROWS, "y": np.full(60, "old")},
            {"predicts": "value"},
            r"labels of dtype <U3 and shape \(60,\), expected numbers \(n,\) or \(n, k\). Give one",
        ),
        (
            keras_arrays() | {"y_test": FLAGS[:12]},
            {},
            r"has labels of different kinds: shape \('n',\), shape \('n', 2\)",
        ),
        (keras_arrays() | {"x_test": ROWS[-12:, :1]}, {}, "has examples of different kinds: "),
        ({"x": np.array([{}] * 60), "y": LABELS}, {}, "cannot be read: .* holds Python objects"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, settings, message):
    with pytest.raises(DataError, match=message):
        source(tmp_path, settings=settings, **arrays).load(0)


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    np.save(tmp_path / "data.npy", ROWS)

    with pytest.raises(DataError, match="data.npy': cannot be read: File is not a zip file. Give"):
        Arrays(path=str(tmp_path / "data.npy"), input=Tensors(shape=(2,))).load(0)


def test_a_missing_file_is_refused():
    with pytest.raises(DataError, match="cannot be read: No such file or directory. Give a file"):
        Arrays(path="/nowhere.npz", input=Tensors(shape=(2,))).load(0)


def test_what_would_unpack_to_more_than_the_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.zeros((1000, 1000)), y=LABELS)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20))

    with pytest.raises(DataError, match=r"it takes 8.0 MB unpacked, and 1.0 MB are free"):
        read_npz(str(path), "data.path")


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_read_or_refused_in_words(tmp_path, seed):
    chance = np.random.default_rng(seed)
    path = tmp_path / "data.npz"
    [np.savez, np.savez_compressed][seed % 2](path, x=ROWS, y=LABELS)
    data = bytearray(path.read_bytes())
    for place in chance.integers(0, len(data), 1 + seed % 4):
        data[place] = chance.integers(0, 256)
    path.write_bytes(data)

    try:
        assert read_npz(str(path), "data.path")
    except DataError as error:
        problem = str(error)
        assert str(path) in problem  # noqa: PT017


def test_a_pipe_is_no_file_of_arrays(tmp_path):
    os.mkfifo(tmp_path / "data.npz")

    with pytest.raises(DataError, match="cannot be read: Is a pipe, no file"):
        read_npz(str(tmp_path / "data.npz"), "data.path")
