"""First configs, for data of every kind that lies at a path."""

import json
import os
import re
import shutil
from io import StringIO

import numpy as np
import pytest
from PIL import Image
from records import example, write_records
from rich.console import Console
from tfds_sets import prepare
from tiny import Vectors

from kft.cli.show import init_summary
from kft.config.run_config import load_config
from kft.errors import ConfigError, DataError
from kft.input import Suggestion
from kft.sources.exclude import load_splits
from kft.workflows.init import init_config


class Signals(Vectors):
    """Vectors with a backbone to begin with, and something to say of them."""

    noun = "signal"
    plural = "signals"
    default_backbone = {"kind": "tiny:TinyDense", "batch_norm": "inference"}

    def suggest(self, examples):
        count = len([*examples])
        settings = {
            "data.input.claims_to_augment": True,
            "cache_views": count,
            "data.batch_size": 3,
        }
        return Suggestion(settings, {**dict.fromkeys(settings, f"of {count}"), "backbone": "tiny"})


@pytest.fixture
def signals(tmp_path):
    """A file of vectors."""
    np.savez(tmp_path / "data.npz", x=np.zeros((40, 8), "float32"), y=np.arange(40) % 2)
    return tmp_path / "data.npz"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures, in a folder that is the working directory."""
    for number in range(40):
        Image.new("RGB", (40, 30), (6 * number, 0, 99)).save(tmp_path / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(written):
    """The config and what its data holds, as a run would have it."""
    config = load_config(written.path)
    assert json.loads(written.path.read_text()) == written.config
    return config, load_splits(config.data, config.seed)


def test_a_table_gets_a_config_that_loads(folder):
    lines = (f"{n}.png,{['old', 'new'][n % 2]},p{n // 2}" for n in range(40))
    (folder / "labels.csv").write_text("\n".join(["file,age,patient", *lines]))

    written = init_config("labels.csv", overrides=("data.group_column=patient",))

    config, splits = loaded(written)
    assert "is 30 px as a rule (median of" in written.reasons["data.input.size"]
    assert written.reasons["data.input.size"].endswith("), for which 96 is enough")
    assert written.path.name == "labels.json"
    assert splits.target.names == ("new", "old")
    assert (config.head.kind, config.data.batch_size) == ("classifier", 32)
    assert written.config["data"]["input"]["size"] == [96, 96]
    assert written.reasons["data.path_column"] == "its cells name files that are there"
    assert "fine-tuning varies images mildly" in written.reasons["data.input.augment"]


def test_folders_of_splits_get_a_config_that_loads(folder):
    for word, numbers in (("Lern", range(12)), ("Pruef", range(12, 20))):
        for label in ("oak", "elm"):
            (folder / "photos" / word / label).mkdir(parents=True)
            for number in numbers:
                shutil.copy(f"{number}.png", folder / "photos" / word / label)

    noted = init_config("photos", folder / "noted.json")
    names = ("data.split.names.Lern=train", "data.split.names.Pruef=test")
    config, splits = loaded(init_config("photos", overrides=names))

    shown = Console(width=400, file=StringIO())
    shown.print(init_summary(noted))
    assert "note: all classes, 'Lern', 'Pruef', hold the same folders" in shown.file.getvalue()
    assert config.data.split.names == {"Lern": "train", "Pruef": "test"}
    assert (splits.target.names, splits.test.size) == (("elm", "oak"), 16)


def test_uneven_classes_are_weighed_unless_said_otherwise(folder):
    lines = (f"{n}.png,{'rare' if n < 6 else 'frequent'}" for n in range(40))
    (folder / "a.csv").write_text("\n".join(["path,x", *lines]))

    chosen = init_config("a.csv", folder / "chosen.json")
    said = init_config("a.csv", folder / "said.json", ("class_weights=null",))

    assert chosen.config["class_weights"] == "balanced"
    assert chosen.reasons["class_weights"] == "the classes are uneven, from 4 to 24"
    assert said.config["class_weights"] is None
    assert "class_weights" not in said.reasons


def test_files_that_are_not_there_and_may_be_skipped_tell_no_size(folder):
    lines = (f"{n}.png,{['old', 'new'][n % 2]}" for n in range(60))
    (folder / "labels.csv").write_text("\n".join(["file,age", *lines]))
    (folder / "1.png").write_bytes(b"no picture")

    written = init_config("labels.csv", overrides=("data.on_bad_input=skip",))

    config, splits = loaded(written)
    assert config.data.on_bad_input == "skip"
    assert sum(splits.sizes.values()) == 60
    assert written.reasons["data.input.size"].startswith("the short side of the images is 30 px")


@pytest.mark.parametrize(
    ("cells", "head"),
    [(lambda n: ["a", "a|b"][n % 2], "multilabel"), (lambda n: n / 3, "regressor")],
)
def test_the_head_fits_what_the_table_says(folder, cells, head):
    lines = (f"{n}.png,{cells(n)}" for n in range(40))
    (folder / "table.csv").write_text("\n".join(["path,x", *lines]))

    config, _ = loaded(init_config("table.csv"))

    assert config.head.kind == head


def test_arrays_get_a_config_that_loads(tmp_path):
    pixels = np.zeros((40, 9, 7), "uint8")
    np.savez(tmp_path / "data.npz", images=pixels, y=np.arange(40) / 2)
    overrides = ("data.inputs=images", "data.predicts=value")

    config, splits = loaded(init_config(tmp_path / "data.npz", tmp_path / "a.json", overrides))

    assert (config.data.kind, config.head.kind, splits.target.names) == (
        "arrays",
        "regressor",
        ("y",),
    )


def test_records_are_asked_about_their_features(tmp_path):
    folder = tmp_path / "birds [1]"
    folder.mkdir()
    picture = b"GIF89a"
    write_records(folder / "a.tfrecord", [example(image=picture, kind=n % 2) for n in range(40)])
    features = ("data.features.input=image", "data.features.label=kind")

    with pytest.raises(
        DataError, match=r"the features 'image' \(1 bytes\), 'kind' \(1 int64\). Say"
    ):
        init_config(folder, tmp_path / "a.json")
    config, splits = loaded(init_config(folder, tmp_path / "a.json", features))

    assert config.data.kind == "tfrecord"
    assert splits.target.names == ("0", "1")


@pytest.mark.parametrize(
    "words",
    [
        ("train-1", "train-2", "val", "test"),
        ("training_set1", "training_set2", "Dev", "HOLDOUT"),
        ("birds [1]-train-1", "birds [1]-train-2", "birds [1]-eval", "birds [1]-valid"),
    ],
)
def test_records_whose_names_say_their_splits_are_kept_apart(tmp_path, words):
    for name, size in zip(words, (20, 20, 8, 6), strict=True):
        messages = [example(image=b"GIF89a", label=n % 2) for n in range(size)]
        write_records(tmp_path / f"{name}.tfrecord", messages)

    written = init_config(tmp_path, tmp_path / "a.json", ("data.features.input=image",))

    _, splits = loaded(written)
    assert splits.train.size == 40
    assert sorted(splits.sizes.values()) == [6, 8, 40]
    assert written.reasons["data.path"] == "the names of the files say their splits"


@pytest.mark.parametrize("inner", ["", "few_colours", "few_colours/1.0.0"])
def test_a_prepared_data_set_gets_a_config_that_loads(tmp_path_factory, inner):
    folder = tmp_path_factory.mktemp("data")
    prepare(folder)

    written = init_config(folder / inner, folder / "a.json")

    config, splits = loaded(written)
    assert (config.data.name, config.data.data_dir) == ("few_colours:1.0.0", str(folder))
    assert splits.train.size == 40


def test_what_is_said_takes_the_place_of_what_would_be_chosen(folder):
    (folder / "a.csv").write_text("\n".join(["path,x", *(f"{n}.png,{n % 2}" for n in range(40))]))
    said = ("data.input.size=[32, 48]", "data.batch_size=5", "backbone.name=MobileNet")

    written = init_config("a.csv", overrides=(*said, "backbone.weights=null"))

    config, _ = loaded(written)
    assert (config.data.input.size, config.data.batch_size) == ((32, 48), 5)
    assert (config.backbone.name, config.backbone.weights) == ("MobileNet", None)
    assert not written.reasons.keys() & {"backbone", "data.input.size", "data.batch_size"}


def test_nothing_is_written_over(folder):
    (folder / "labels.json").touch()

    with pytest.raises(ConfigError, match="labels.json: already exists. Give another name"):
        init_config("labels.csv")


def test_a_prepared_data_set_whose_description_is_a_pipe_is_none(tmp_path):
    (tmp_path / "set/1.0.0").mkdir(parents=True)
    os.mkfifo(tmp_path / "set/1.0.0/dataset_info.json")

    with pytest.raises(DataError, match="is empty, but for folders"):
        init_config(str(tmp_path / "set"), tmp_path / "out.json", ())


def test_the_input_says_its_backbone_and_what_else_fits_the_data(signals, tmp_path):
    said = (f"data.input.kind={__name__}:Signals", "data.batch_size=5")

    written = init_config(signals, tmp_path / "a.json", said)

    config, splits = loaded(written)
    assert (config.backbone.kind, config.backbone.batch_norm) == ("tiny:TinyDense", "inference")
    assert config.data.input.claims_to_augment
    assert (config.cache_views, config.data.batch_size) == (splits.train.size, 5)
    assert written.reasons["backbone"] == "tiny"
    assert written.reasons["cache_views"] == f"of {splits.train.size}"
    assert "data.batch_size" not in written.reasons


def test_an_example_is_called_as_its_input_says(signals, tmp_path, monkeypatch):
    monkeypatch.setattr(Signals, "suggest", Vectors.suggest)
    said = (f"data.input.kind={__name__}:Signals",)

    written = init_config(signals, tmp_path / "a.json", said)

    assert re.search("[0-9]+ training signals", written.reasons["phases"])


def test_the_backbone_is_asked_for_where_the_input_has_none(signals, tmp_path):
    said = ("data.input.kind=tensors", "data.input.shape=[8]")

    with pytest.raises(ConfigError, match=r"backbone: is left out, .* 'tensors' .* --set backb"):
        init_config(signals, tmp_path / "a.json", said)
    with pytest.raises(ConfigError, match="no input kind 'tensor'. Did you mean 'tensors'"):
        init_config(signals, tmp_path / "a.json", ("data.input.kind=tensor",))
    with pytest.raises(ConfigError, match="--set data: is 3, expected an object"):
        init_config(signals, tmp_path / "a.json", ("data=3",))
    written = init_config(signals, tmp_path / "a.json", (*said, "backbone.kind=tiny:TinyDense"))

    config, _ = loaded(written)
    assert (config.backbone.kind, config.data.input.kind) == ("tiny:TinyDense", "tensors")


def test_what_is_said_has_no_reason_of_its_own(folder):
    (folder / "a.csv").write_text("\n".join(["path,x", *(f"{n}.png,{n % 2}" for n in range(40))]))

    written = init_config("a.csv", overrides=('data.input.augment=[{"kind": "flip"}]',))

    assert "data.input.augment" not in written.reasons


def test_a_table_of_texts_gets_a_config_that_loads(tmp_path):
    lines = (f"some text {n},{n % 7},{'ab'[n % 2]}" for n in range(40))
    (tmp_path / "a.csv").write_text("\n".join(["review,age,label", *lines]))
    kinds = ("data.input.kind=tiny:Words", "backbone.kind=tiny:TinyWords")

    with pytest.raises(DataError, match="such as --set data.input_column=text"):
        init_config(tmp_path / "a.csv", tmp_path / "a.json", kinds)
    said = (*kinds, "data.input_column=review")
    written = init_config(tmp_path / "a.csv", tmp_path / "a.json", said)

    config, splits = loaded(written)
    assert (config.data.path_column, config.data.class_column) == (None, "label")
    assert sum(splits.sizes.values()) == 40
    assert "data.path_column" not in written.reasons


def test_a_class_of_ones_own_needs_trust(signals, tmp_path):
    said = (f"data.input.kind={__name__}:Signals",)

    with pytest.raises(ConfigError, match="would run code of the package"):
        init_config(signals, tmp_path / "a.json", said, trust=())

    trusted = (__name__.partition(".")[0], "tiny")
    assert init_config(signals, tmp_path / "b.json", said, trust=trusted).path.is_file()
