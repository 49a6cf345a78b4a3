import numpy as np
import pytest
import tensorflow as tf
from tfds_sets import NoSupervision, grey, prepare

from kft.data import Target
from kft.errors import DataError
from kft.image.input import ImageInput
from kft.sources.tfds.tfds import Tfds

FORMATS = ("tfrecord", "array_record", "parquet")


@pytest.fixture(scope="module", params=FORMATS)
def folder(request, tmp_path_factory):
    return prepare(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = prepare(tmp_path_factory.mktemp("data"))
    return prepare(folder, builder=NoSupervision)


def source(folder, name="few_colours", **settings):
    return Tfds(**({"name": name, "data_dir": folder, "input": ImageInput(size=(4, 4))} | settings))


def test_own_splits_names_labels_and_pictures_agree(folder):
    splits = source(folder).load(0)

    assert splits.target.names == ("dark", "pale")
    assert splits.test is None
    assert splits.train.names == [f"train/{number}" for number in range(40)]
    assert splits.validation.names == [f"val/{number}" for number in range(20)]
    for split in (splits.train, splits.validation):
        for index in (0, 7, 19):
            pixels = splits.input.decode(split.fetch(tf.constant(index, "int64")))
            assert split.labels[index] == index % 2
            assert np.unique(pixels).tolist() == [grey(index)]


def test_what_a_person_should_know_is_noted(folder):
    notes = source(folder).load(0).notes

    held = [note for note in notes if "held in memory" in note]
    assert len(held) == (2 if "parquet" in folder else 0)
    assert [note for note in notes if note not in held] == [
        f"few_colours/1.0.0 from {folder}/few_colours/1.0.0",
        "passed over the splits 'extra'",
        "left out test, whose examples have no labels",
        "left out the classes 'none', of which there is no example",
        "the data has no test split: there is none",
    ]


def test_a_config_may_say_which_splits_are_which(records):
    names = {"train": "train", "val": "test", "extra": "train"}

    splits = source(records, split={"names": names}).load(0)

    assert splits.test.names == [f"val/{number}" for number in range(20)]
    assert splits.train.size + splits.validation.size == 42
    with pytest.raises(DataError, match="has no split 'train' among .* Say in data.split.names"):
        source(records, split={"names": {"trian": "train"}}).load(0)


def test_own_splits_can_be_divided_anew(records):
    splits = source(records, own_splits=False).load(0)

    names = [name for split in splits.by_name().values() for name in split.names]
    assert set(splits.by_name()) == {"train", "validation", "test"}
    assert len(names) == 60
    index = splits.train.names.index("val/3")
    pixels = splits.input.decode(splits.train.fetch(tf.constant(index, "int64")))
    assert np.unique(pixels).tolist() == [grey(3)]


def test_a_feature_says_the_group(folder):
    settings = {"features": {"input": "image", "label": "label", "group": "owner"}}

    splits = source(folder, own_splits=False, **settings).load(3)

    there = [{*split.groups} for split in splits.by_name().values()]
    assert sum(map(len, there)) == len(set.union(*there)) == 10


def test_a_label_that_is_no_class_of_the_data_set_is_its_own_name(records):
    splits = source(records, features={"input": "image", "label": "owner"}).load(0)

    assert splits.target.names == tuple("0123456789")


def test_a_list_of_classes_is_several_labels(folder):
    splits = source(folder, features={"input": "image", "label": "tags"}).load(0)

    assert splits.target == Target("multilabel", ("odd", "old"))
    assert splits.train.labels[:4].tolist() == [[0, 1], [1, 0], [0, 0], [1, 1]]
    assert "left out the classes 'none', of which there is no example" in splits.notes


def test_features_can_be_a_label_each(folder):
    splits = source(folder, features={"input": "image", "label": ["is/even", "is/dark"]}).load(0)

    assert splits.target == Target("multilabel", ("is/even", "is/dark"))
    assert splits.train.labels[9:11].tolist() == [[0, 1], [1, 0]]


def test_floats_are_values(folder):
    splits = source(folder, features={"input": "image", "label": "shade"}).load(0)

    assert (splits.target.kind, splits.target.names) == ("value", ("shade",))
    assert splits.train.labels[:, 0] == pytest.approx(np.array([*map(grey, range(40))]) / 255)


def test_whole_numbers_are_values_if_that_is_said(records):
    features = {"input": "image", "label": "owner"}

    splits = source(records, features=features, predicts="value").load(0)

    assert splits.target.names == ("owner",)
    assert splits.train.labels[:5].tolist() == [[0], [0], [0], [0], [1]]


def test_a_version_can_be_named(records):
    assert source(records, "few_colours:1.0.0").load(0).train.size == 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "few_colors"},
            "no data set of tensorflow-datasets, and .* Did you mean 'few_colours'. Correct",
        ),
        (
            {"name": "few_colours:2.0.0"},
            "is not prepared in .*, which has of it only '1.0.0'. Set data.download to true, or run"
            ": python -c .*tfds.load.'few_colours:2.0.0', data_dir=",
        ),
        ({"name": "cifar10"}, r"is not prepared in .*tfds\.load\('cifar10', data_dir='"),
        (
            {"name": "no_supervision"},
            "does not say which of its features are the input and the label: 'image', 'is', 'label",
        ),
        (
            {"features": {"input": "image", "label": "labels"}},
            "has no feature 'labels'. Did you mean 'label'. Set data.features",
        ),
        (
            {"features": {"input": "image", "label": "is/evn"}},
            "has no feature 'is/evn'. Did you mean 'even'. Set data.features",
        ),
        (
            {"features": {"input": "image", "label": "is"}},
            "has further features in 'is'. Name one of 'is/dark', 'is/even'",
        ),
        (
            {"features": {"input": "owner", "label": "label"}},
            r"holds int64 arrays of shape \(\), and pictures are uint8 pixels",
        ),
    ],
)
def test_what_is_not_there_is_refused(records, settings, message):
    message = message.replace("'. ", r"'\W+")

    with pytest.raises(DataError, match=message):
        source(records, **settings).load(0)


def test_what_is_not_prepared_is_made_if_that_is_wanted(tmp_path):
    splits = source(str(tmp_path), download=True).load(0)

    assert splits.train.size == 40
    assert (tmp_path / "few_colours" / "1.0.0").is_dir()


def test_nothing_is_downloaded_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("KFT_OFFLINE", "1")

    with pytest.raises(DataError, match="is not prepared in .*, and kft is offline. "):
        source(str(tmp_path), download=True).load(0)


def test_a_url_that_tensorflow_datasets_does_not_read_is_refused():
    with pytest.raises(
        DataError, match="data_dir 'ram://a': is a URL of a kind .*with \"tfrecord\""
    ):
        source("ram://a").load(0)


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(DataError, match="prepared: fetch colours.zip by hand. Prepare it with"):
        source(str(tmp_path), "not_made", download=True).load(0)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_missing_file_is_refused(tmp_path, file_format):
    prepare(tmp_path, file_format)
    for file in tmp_path.glob("few_colours/1.0.0/*-val*"):
        file.unlink()

    with pytest.raises(DataError, match="cannot be read: .*-val"):
        source(str(tmp_path)).load(0)


def test_what_is_damaged_is_refused(tmp_path):
    prepare(tmp_path)
    (tmp_path / "few_colours/1.0.0/dataset_info.json").write_text("{")

    with pytest.raises(DataError, match="cannot be read from .*Prepare it again, or set data.data"):
        source(str(tmp_path)).load(0)


def test_what_is_too_large_to_be_held_is_refused(tmp_path, monkeypatch):
    folder = prepare(tmp_path, "parquet")
    monkeypatch.setattr("kft.sources.tfds.tfds_store.memory_budget", lambda: 1000)

    with pytest.raises(DataError, match='from end to end only, .*file_format="array_record"'):
        source(folder).load(0)
