import gzip
import os

import numpy as np
import pytest
import tensorflow as tf
from records import example, write_records

from kft.data import Target
from kft.errors import DataError
from kft.image.input import ImageInput
from kft.sources.arrays.tensors import Tensors
from kft.sources.records.tfrecord import TfRecord

TEXT = Tensors(shape=(), dtype="string")


def message(number, **more):
    # Ends in zeros, which text of a fixed length would lose.
    return example(image=b"picture %d" % number + bytes(number % 3), label=number % 2, **more)


def write(folder, *shards, **more):
    """Shards of so many records, with numbers counted through all of them."""
    start = 0
    for number, size in enumerate(shards):
        name = f"data-{number:05}-of-{len(shards):05}"
        rows = range(start, start + size)
        write_records(f"{folder}/{name}", [message(row, **more) for row in rows])
        start += size


def hot(number):
    return [number % 2, number // 2 % 2]


def source(folder, pattern="data-*", **settings):
    features = {"input": "image"} | settings.pop("features", {})
    kept = {"path": f"{folder}/{pattern}", "input": TEXT, "features": features}
    return TfRecord(**(kept | settings))


def test_names_records_and_labels_agree(tmp_path):
    write(tmp_path, 41, 0, 19)
    first = {"data-00000-of-00003": 0, "data-00002-of-00003": 41}

    splits = source(tmp_path).load(0)

    assert sum(split.size for split in splits.by_name().values()) == 60
    for split in splits.by_name().values():
        for index, name in enumerate(split.names):
            shard, _, place = name.partition("/")
            row = first[shard] + int(place)
            assert split.labels[index] == row % 2
            expected = b"picture %d" % row + bytes(row % 3)
            assert split.fetch(tf.constant(index, "int64")) == expected


def test_paths_of_splits_are_kept_apart(tmp_path):
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, 4)
    further = {
        "validation_path": f"{tmp_path}/b/data-00000-of-00001",
        "test_path": f"{tmp_path}/c/*",
    }

    splits = source(tmp_path / "a", **further).load(0)

    assert [split.size for split in splits.by_name().values()] == [4, 4, 4]
    assert splits.train.names[0] == "data-00000-of-00001/0"
    assert splits.validation.names[0] == "validation/data-00000-of-00001/0"


def test_added_shards_move_no_record_of_a_hash(tmp_path):
    rule = {"method": "hash"}
    write_records(tmp_path / "a.tfrecord", map(message, range(80)))
    before = source(tmp_path, "*", split=rule).load(0)
    write_records(tmp_path / "b.tfrecord", map(message, range(50)))

    after = source(tmp_path, "*", split=rule).load(0)

    for name, split in before.by_name().items():
        assert {*split.names} <= {*after.by_name()[name].names}


def test_files_at_a_url_are_read():
    write("ram://records", 20, 20)

    splits = source("ram://records").load(0)

    assert splits.train.fetch(tf.constant(1, "int64")).numpy().startswith(b"picture")


def test_features_say_name_group_and_label(tmp_path):
    messages = [
        example(pixels=b"x", kind=b"cat" if n % 2 else b"dog", file=b"%d.png" % n, who=n // 6)
        for n in range(60)
    ]
    write_records(tmp_path / "a", messages)
    features = {"input": "pixels", "label": "kind", "name": "file", "group": "who"}

    splits = source(tmp_path, "a", features=features).load(0)

    assert splits.target.names == ("cat", "dog")
    assert all(name.endswith(".png") for name in splits.train.names)
    there = [{*split.groups} for split in splits.by_name().values()]
    assert sum(map(len, there)) == len(set.union(*there)) == 10


def test_a_feature_of_numbers_is_a_vector(tmp_path):
    messages = [example(image=[n / 2, 1.0, 2.0], label=n % 2) for n in range(40)]
    write_records(tmp_path / "a", messages)

    splits = source(tmp_path, "a", input=Tensors(shape=(3,))).load(0)

    row = splits.train.fetch(tf.constant(0, "int64")).numpy().tolist()
    assert row == [int(splits.train.names[0].partition("/")[2]) / 2, 1.0, 2.0]


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        (lambda n: [b"red"] * (n % 2) + [b"new"] * (n // 2 % 2), ("new", "red")),
        (lambda n: [5 * place for place, has in enumerate(hot(n)) if has], ("0", "5")),
        (hot, ("tags/0", "tags/1")),
        (lambda n: [float(has) for has in hot(n)], ("tags/0", "tags/1")),
    ],
    ids=["texts", "numbers", "flags", "floats"],
)
def test_several_labels_are_lists_or_ones_and_noughts(tmp_path, tags, names):
    write_records(tmp_path / "a", [example(image=b"", tags=tags(n)) for n in range(40)])
    features = {"label": "tags"}

    splits = source(tmp_path, "a", features=features, predicts="multilabel").load(0)

    assert splits.target == Target("multilabel", names)
    rows = [int(name.partition("/")[2]) for name in splits.train.names]
    order = [1, 0] if names == ("new", "red") else [0, 1]
    np.testing.assert_array_equal(splits.train.labels, np.array([*map(hot, rows)])[:, order])


def test_class_names_are_those_of_the_numbers_in_a_list(tmp_path):
    messages = [example(image=b"", tags=[n % 3, (n + 1) % 3][: n % 2 + 1]) for n in range(40)]
    write_records(tmp_path / "a", messages)
    settings = {"features": {"label": "tags"}, "class_names": ("a", "b", "c")}

    splits = source(tmp_path, "a", predicts="multilabel", **settings).load(0)

    assert splits.target.names == ("a", "b", "c")
    assert {*splits.train.labels.sum(axis=1)} == {1, 2}


@pytest.mark.parametrize(("predicts", "kind"), [("multilabel", int), ("value", float)])
def test_features_can_be_a_label_or_value_each(tmp_path, predicts, kind):
    messages = [example(image=b"", red=kind(n % 2), new=kind(n // 2 % 2)) for n in range(40)]
    write_records(tmp_path / "a", messages)

    splits = source(tmp_path, "a", features={"label": ["red", "new"]}, predicts=predicts).load(0)

    assert splits.target.names == ("red", "new")
    rows = [int(name.partition("/")[2]) for name in splits.train.names]
    np.testing.assert_array_equal(splits.train.labels, [hot(row) for row in rows])


def test_a_list_is_several_values(tmp_path):
    write_records(tmp_path / "a", [example(image=b"", label=[n, -n]) for n in range(40)])

    splits = source(tmp_path, "a", predicts="value").load(0)

    assert splits.target.names == ("label/0", "label/1")
    assert (splits.train.labels[:, 0] == -splits.train.labels[:, 1]).all()


def missing_shard(folder):
    write(folder, 4, 4, 4)
    (folder / "data-00001-of-00003").unlink()


def cut_short(folder):
    write(folder, 20)
    file = folder / "data-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-7])


def flipped(folder):
    write(folder, 20)
    file = folder / "data-00000-of-00001"
    file.write_bytes(file.read_bytes().replace(b"picture 7", b"picture 8"))


def compressed(folder):
    write(folder, 20)
    file = folder / "data-00000-of-00001"
    file.write_bytes(gzip.compress(file.read_bytes()))


def no_messages(folder):
    write_records(folder / "data-1", [b"\xff\xff"])


def no_records(folder):
    write_records(folder / "data-1", [])


def unlike(folder):
    write_records(folder / "data-1", [message(0), example(image=b"", label=b"cat")])


@pytest.mark.parametrize(
    ("write", "settings", "message"),
    [
        (lambda folder: None, {}, "data.path '.*data-.': names no file. Give a pattern"),
        (lambda folder: None, {"path": "/tmp"}, "'/tmp': is a folder, expected files. Give a"),
        (missing_shard, {}, "lacks the shards '.*data-00001-of-00003'. Add the missing files"),
        (
            cut_short,
            {},
            "is damaged, cut short or no TFRecord file: truncated.*requested. Write",
        ),
        (flipped, {}, "is damaged, cut short or no TFRecord file: .*corrupted record at"),
        (compressed, {}, "is compressed, so single records cannot be read. Decompress it"),
        (no_messages, {}, "holds records that are no tf.train.Example"),
        (no_records, {}, "holds no record. Give files"),
        (unlike, {}, "has a record unlike the first: .*label"),
        (
            lambda folder: write(folder, 9),
            {"features": {"label": "labl"}},
            "has no feature 'labl'. Did you mean 'label'. Set data.features",
        ),
        (
            lambda folder: write(folder, 9),
            {"features": {"input": "pixels"}},
            "has no feature 'pixels'. Known: image, label. Set data.features",
        ),
        (
            lambda folder: write(folder, 9, many=[1, 2]),
            {"features": {"label": "many"}},
            "has 2 values in the feature 'many', expected one. Name another .*; for several",
        ),
        (
            lambda folder: write(folder, 9, many=[3, 3, 0]),
            {"features": {"label": "many"}, "predicts": "multilabel"},
            "has a list of 3 for every example, with repeated labels. Give 0 or 1",
        ),
        (
            lambda folder: write(folder, 9, many=[]),
            {"features": {"label": "many"}, "predicts": "multilabel"},
            "has nothing in the feature 'many' of its first records. Name a feature",
        ),
        (
            lambda folder: write(folder, 9),
            {"features": {"label": "labl"}, "predicts": "multilabel"},
            "has no feature 'labl'. Did you mean 'label'. Set data.features",
        ),
        (
            lambda folder: write(folder, 9, same=1),
            {"features": {"label": ["label", "same"]}},
            r"shape \(9, 2\), expected one whole number .* or set data.predicts to \"multilabel\"",
        ),
        (
            lambda folder: write(folder, 9, share=0.5),
            {"features": {"label": "share"}},
            "has labels of dtype float32",
        ),
        (
            lambda folder: write(folder, 9),
            {"class_names": ("a",)},
            "expected two or more, all different",
        ),
        (
            lambda folder: write(folder, 9, same=b"x"),
            {"features": {"name": "same"}},
            "has more than one example with the name 'x'. Give each example a name of its own",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, write, settings, message):
    write(tmp_path)

    with pytest.raises(DataError, match=message):
        source(tmp_path, **settings).load(0)


def test_a_url_without_files_is_refused():
    with pytest.raises(DataError, match="data.path 'ram://none/.': names no file"):
        source("ram://none", "*").load(0)


def test_pictures_that_are_no_bytes_are_refused(tmp_path):
    write_records(tmp_path / "a", [example(image=[1, 2], label=n % 2) for n in range(40)])

    with pytest.raises(DataError, match="holds int64 arrays of shape .2,., and pictures are uint8"):
        source(tmp_path, "a", input=ImageInput()).load(0)


def test_labels_are_int32(tmp_path):
    write(tmp_path, 20)

    assert source(tmp_path).load(0).train.labels.dtype == np.int32


def test_a_pipe_among_the_files_is_refused(tmp_path):
    write(tmp_path, 20)
    os.mkfifo(tmp_path / "data-pipe")

    with pytest.raises(DataError, match="data-pipe': cannot be read: Is a pipe, no file"):
        source(tmp_path).load(0)
