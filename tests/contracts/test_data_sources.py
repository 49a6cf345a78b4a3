"""What every data source owes the engine. A new kind joins by one line in SOURCES."""

import functools
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from records import example, write_records
from tfds_sets import prepare

from kft.data import DataSource
from kft.errors import DataError
from kft.image.digits import Digits
from kft.image.input import ImageInput
from kft.results.report import write_beginning
from kft.scoring.metrics import scoring_of
from kft.settings.catalog import CATALOG
from kft.sources.arrays.arrays import Arrays
from kft.sources.folders.folder import Folder
from kft.sources.records.records import FeatureMap
from kft.sources.records.tfrecord import TfRecord
from kft.sources.splitting.split_rule import SplitRule
from kft.sources.tables.table import Table
from kft.sources.tfds.tfds import Tfds


def png(number):
    file = io.BytesIO()
    Image.new("RGB", (9, 7), (10 * number, 0, 0)).save(file, "png")
    return file.getvalue()


def class_folders(path):
    for number in range(24):
        file = path / f"{'ab'[number % 2]}/{number}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(png(number))
    return Folder(path=str(path), input=ImageInput(size=(8, 8)))


def split_folders(path):
    for split in ("train", "val", "test"):
        (path / split).mkdir()
        class_folders(path / split)
    return Folder(path=str(path), input=ImageInput(size=(8, 8)))


def arrays(path, labels, **settings):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 9, 7), "uint8")
    np.savez(path / "data.npz", x=pixels, y=[labels(number) for number in range(24)])
    return Arrays(path=str(path / "data.npz"), input=ImageInput(size=(8, 8)), **settings)


def records(path, label, **settings):
    messages = [example(image=png(number), label=label(number)) for number in range(24)]
    write_records(path / "data.tfrecord", messages)
    return TfRecord(
        path=str(path / "*.tfrecord"),
        features=FeatureMap(input="image"),
        input=ImageInput(size=(8, 8)),
        **settings,
    )


def parity(number):
    return number % 2


def flags(number):
    return [number % 2, number // 2 % 2]


def tags(number):
    return [b"red", b"round"][: number % 3]


def values(number):
    return [number / 2, -1e3 * number]


def table(path, columns, rows, **settings):
    """A table beside the files of `class_folders`, a row for each."""
    class_folders(path)
    files = sorted(file.relative_to(path).as_posix() for file in path.glob("*/*.png"))
    lines = [f"{file},{rows(number)}" for number, file in enumerate(files)]
    (path / "table.csv").write_text("\n".join([f"path,{columns}", *lines]))
    return Table(path=str(path / "table.csv"), input=ImageInput(size=(8, 8)), **settings)


def class_table(path):
    return table(path, "breed", lambda number: "ab"[number % 2], class_column="breed")


def label_table(path):
    return table(path, "tags", lambda number: "a|b" * (number % 3), label_columns="tags")


def value_table(path):
    return table(path, "x,y", lambda number: f"{number},-{number}e3", value_columns=("x", "y"))


def tfds(path, label="label"):
    return Tfds(
        name="few_colours",
        data_dir=prepare(path),
        features=FeatureMap(input="image", label=label),
        input=ImageInput(size=(8, 8)),
    )


def at_url(make):
    """Makes the same source, but of files at a URL."""

    def uploaded(path):
        source = make(path)
        url = f"ram://{path.name}"
        for file in path.rglob("*"):
            if file.is_file():
                there = f"{url}/{file.relative_to(path).as_posix()}"
                tf.io.gfile.makedirs(there.rpartition("/")[0])
                tf.io.gfile.copy(str(file), there, overwrite=True)
        places = {key: value for key, value in source if isinstance(value, str)}
        moved = {key: value.replace(str(path), url) for key, value in places.items()}
        return source.model_copy(update=moved)

    return uploaded


SOURCES = {
    "table of classes": class_table,
    "table of labels": label_table,
    "table of values": value_table,
    "tfds": tfds,
    "tfds of labels": lambda path: tfds(path, "tags"),
    "tfds of flags": lambda path: tfds(path, ("is/even", "is/dark")),
    "tfds of values": lambda path: tfds(path, "shade"),
    "tfrecord": lambda path: records(path, parity),
    "tfrecord of labels": lambda path: records(path, tags, predicts="multilabel"),
    "tfrecord of values": lambda path: records(path, values, predicts="value"),
    "arrays": lambda path: arrays(path, parity),
    "arrays of labels": lambda path: arrays(path, flags, predicts="multilabel"),
    "arrays of values": lambda path: arrays(path, values, predicts="value"),
    "folder": class_folders,
    "folder of splits": split_folders,
    "folder at a URL": at_url(class_folders),
    "table at a URL": at_url(class_table),
    "tfrecord at a URL": at_url(lambda path: records(path, parity)),
    "arrays at a URL": at_url(lambda path: arrays(path, parity)),
    "digits": lambda path: Digits(),
}


@functools.cache
def decoder(input):
    """What decodes inside a dataset, traced once for all sources."""
    return tf.function(input.decode)


@pytest.fixture(scope="module", params=SOURCES)
def source(request, tmp_path_factory):
    return SOURCES[request.param](tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def splits(source):
    return source.load(1)


def test_every_kind_of_source_is_in_the_battery(tmp_path_factory):
    kinds = {make(tmp_path_factory.mktemp("data")).kind for make in SOURCES.values()}

    assert {*CATALOG["data"]} - kinds == set()


def test_train_and_validation_hold_examples(splits):
    assert splits.train.size > 0
    assert splits.validation.size > 0
    assert splits.test is None or splits.test.size > 0


def test_the_same_seed_gives_the_same_split(source, splits):
    again = source.load(1)

    assert again.target == splits.target
    for name, split in splits.by_name().items():
        assert list(again.by_name()[name].names) == list(split.names)
        np.testing.assert_array_equal(again.by_name()[name].labels, split.labels)


def test_what_a_run_lists_gives_the_same_split_with_any_seed(source, splits, tmp_path):
    write_beginning(tmp_path, splits, {})
    rule = SplitRule(manifest=str(tmp_path / "split.csv"))

    again = source.model_copy(update={"split": rule}).load(2)

    for name, split in splits.by_name().items():
        assert list(again.by_name()[name].names) == list(split.names)


def test_names_are_unique_and_in_one_split_only(splits):
    names = [name for split in splits.by_name().values() for name in split.names]

    assert all(isinstance(name, str) for name in names)
    assert len(set(names)) == len(names)


def test_labels_are_in_range_and_train_has_every_class(splits):
    names = splits.target.names

    counts = {
        part: scoring_of(splits.target).counts(split.labels)
        for part, split in splits.by_name().items()
    }

    assert all(counts["train"].values())
    for part, split in splits.by_name().items():
        is_class = splits.target.kind == "class"
        assert split.labels.shape == ((split.size,) if is_class else (split.size, len(names)))
        assert split.labels.dtype == (np.int32 if is_class else np.float32)
        assert {*counts[part]} == ({*names} if splits.target.kind != "value" else set())
        assert np.isfinite(split.labels).all()


def test_a_config_orders_the_classes(source, splits):
    names = splits.target.names[::-1]
    turned = source.model_copy(update={"classes": names})
    if splits.target.kind == "value":
        with pytest.raises(DataError, match="names classes, but the data has values"):
            turned.load(1)
        return

    found = turned.load(1)

    assert found.target.names == names
    for part, split in splits.by_name().items():
        again = found.by_name()[part]
        assert list(again.names) == list(split.names)
        dense = found.target.dense(again.labels)
        np.testing.assert_array_equal(dense[:, ::-1], splits.target.dense(split.labels))


def test_what_fetch_gives_is_what_the_input_decodes(splits):
    for split in splits.by_name().values():
        raw = split.fetch(tf.constant(split.size - 1, "int64"))

        example = splits.input.decode(raw)

        assert splits.input.spec.is_compatible_with(example)


def test_fetch_gives_the_same_inside_a_dataset(splits):
    split = splits.validation
    indices = [split.size - 1, 0, split.size // 2]

    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(indices, "int64"))
    fetched = list(dataset.map(split.fetch, num_parallel_calls=2).as_numpy_iterator())

    assert fetched == [split.fetch(tf.constant(index, "int64")).numpy() for index in indices]


def test_decoding_inside_a_dataset_keeps_the_static_shape(splits):
    dataset = tf.data.Dataset.range(2).map(splits.train.fetch).map(decoder(splits.input))

    assert dataset.element_spec == splits.input.spec
    assert len(list(dataset)) == 2


def test_a_part_of_a_split_keeps_names_labels_and_examples_together(splits):
    split = splits.train
    wanted = [split.size - 1, 1]

    part = split.take(wanted)

    assert list(part.names) == [split.names[index] for index in wanted]
    np.testing.assert_array_equal(part.labels, [split.labels[index] for index in wanted])
    for place, index in enumerate(wanted):
        assert part.fetch(tf.constant(place, "int64")) == split.fetch(tf.constant(index, "int64"))


def test_settings_survive_the_way_through_json(source):
    settings = source.model_dump(by_alias=True, serialize_as_any=True, mode="json")

    again = DataSource.model_validate(settings)

    assert again == source
    assert type(again.input) is type(source.input)
