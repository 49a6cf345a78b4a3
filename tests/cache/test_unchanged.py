"""A file that changes while a run works on it ends the run by name."""

import pytest
import tensorflow as tf
from word_files import WordFiles, make_words

from kft.cache import inference as passes
from kft.cache.decode import read
from kft.cache.unchanged import changes_as_error
from kft.config.run_config import load_config
from kft.errors import DataError
from kft.storage.run_files import BEST_WEIGHTS
from kft.workflows.run import run


@pytest.fixture
def folder(tmp_path):
    make_words(tmp_path / "words")
    return tmp_path / "words"


@pytest.fixture
def train(folder):
    return read(WordFiles(path=str(folder)).load(0), "stop").decoded.train


def fetch_all(split):
    return list(split.fetched(tf.data.Dataset.range(split.size).batch(4), 4))


def test_what_is_as_it_was_is_fetched(train):
    assert fetch_all(train)[0][1][0] == b"low0"


@pytest.mark.parametrize("content", ["another word", None])
def test_what_changed_since_it_was_read_is_told_by_name(train, folder, content):
    for number in range(4):
        file = folder / "train" / str(number)
        file.unlink() if content is None else file.write_text(content)

    with (
        pytest.raises(DataError, match="4 of the examples .*: train/0, .*train/2 and 1 more"),
        changes_as_error(train),
    ):
        fetch_all(train)


def test_what_fails_for_another_reason_stays_as_it_is(train):
    with pytest.raises(tf.errors.InvalidArgumentError, match="odd"), changes_as_error(train):
        tf.raw_ops.Assert(condition=False, data=["odd"])


@pytest.mark.parametrize(
    ("file", "content"), [("train/5", "another word"), ("train/5", None), ("test/1", "high1")]
)
def test_a_run_whose_data_changes_ends_with_its_name_and_the_best_weights(
    folder, tmp_path, monkeypatch, file, content
):
    monkeypatch.setattr(passes, "memory_budget", lambda: 0)
    changes = {"kind": "word_files:Changes", "path": str(folder / file), "epoch": 0}
    phase = {"name": "all", "epochs": 30, "optimizer": {"kind": "sgd"}}
    config = load_config(
        {
            "output_dir": str(tmp_path / "run"),
            "data": {"kind": "word_files:WordFiles", "path": str(folder)},
            "backbone": {"kind": "tiny:TinyWords"},
            "phases": [{**phase, "unfreeze": {"kind": "all"}}],
            "cache": "off",
            "exporters": [],
            "callbacks": [{**changes, "content": content}],
        }
    )

    with pytest.raises(DataError, match=rf"1 of the examples .* when they were read: {file}\."):
        run(config)

    assert (tmp_path / "run" / BEST_WEIGHTS).is_file()
