"""Predictions of SavedModels that answer oddly."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from tiny import TARGET, Vectors, tiny_task, vector_split

from kft.cli.main import main
from kft.cli.show import measured, percent
from kft.data import Splits
from kft.errors import ConfigError, DataError
from kft.scoring.evaluate import evaluate
from kft.sources.unlabelled import Unlabelled, Unread
from kft.workflows.predict import BATCH, CALLS, Read, in_order, in_parts, predict, predict_each


class Halves(tf.Module):
    """Says "good" of a file as likely as it is long, and knows no likelihood of an empty one."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="raw")])
    def serve(self, raw):
        score = 1 / tf.cast(tf.strings.length(raw), tf.float32) - 0.0
        score = tf.where(tf.math.is_inf(score), np.nan, score)
        classes = tf.tile(tf.constant([["good", "bad"]]), [tf.shape(raw)[0], 1])
        return {"classes": classes, "scores": tf.stack([score, 1 - score], axis=1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    model = Halves()
    signatures = {"serving_default": model.serve.get_concrete_function()}
    tf.saved_model.save(model, str(folder / "model"), signatures=signatures)
    (folder / "long").write_bytes(b"1234")
    (folder / "longer").write_bytes(b"12345678")
    (folder / "empty").write_bytes(b"")
    return folder


def test_an_answer_that_is_no_number_is_no_prediction(folder):
    found, unread = predict_each(folder / "model", [folder / "long", folder / "empty"])

    assert found.answer["scores"][0] == 0.25
    assert unread == Unread(str(folder / "empty"), "the model's answer is no number")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "JSON"])
def test_the_command_names_it_and_fails(folder, options):
    files = [str(folder / name) for name in ("long", "empty")]

    told = CliRunner().invoke(main, ["predict", str(folder / "model"), *files, *options])

    assert told.exit_code == 1
    assert "nan" not in told.stdout.lower()
    assert "empty: cannot be read: the model's answer is no number." in told.stderr
    if options:
        assert json.loads(told.stdout)["scores"] == {"good": 0.25, "bad": 0.75}
    else:
        assert "25.0 %" in told.stdout


def test_predictions_come_in_order_while_examples_are_still_asked_for(folder):
    asked = []

    def examples():
        for number in range(10 * BATCH):
            asked.append(number)
            yield folder / ("long" if number % 3 else "longer")

    answered = predict_each(folder / "model", examples())
    first = next(answered)

    assert first.answer["scores"][0] == pytest.approx(0.125)
    assert len(asked) <= (CALLS + 1) * BATCH
    names = [Path(each.name).name for each in answered]
    assert names == [Path(folder / ("long" if n % 3 else "longer")).name for n in asked][1:]
    assert len(asked) == 10 * BATCH


def test_a_batch_is_read_in_parts_that_fit_into_memory(folder, monkeypatch):
    monkeypatch.setattr("kft.workflows.predict.BATCH_BYTES", 8)
    files = [
        Read(Unlabelled(name), (folder / name).read_bytes())
        for name in ("long", "long", "longer", "long")
    ]

    found = [len(part) for part in in_parts([Unread("gone", "why"), *files])]

    assert found == [3, 1, 1]


def test_predict_names_what_it_cannot_read(folder):
    with pytest.raises(
        DataError,
        match=r"2 of 3 examples: cannot be read: .*empty \(the model's .*; .*gone \(No such",
    ):
        predict(folder / "model", [folder / "empty", folder / "long", folder / "gone"])


def test_an_array_that_no_signature_takes_is_refused(folder):
    with pytest.raises(DataError, match=r"dtype float64 and shape \(3,\), which no signature"):
        predict(folder / "model", [np.zeros(3)])


def test_a_folder_that_is_no_run_says_so(folder, tmp_path):
    shutil.copytree(folder / "model", tmp_path / "run/export/saved_model")
    (tmp_path / "run/config.json").write_text("[]")

    with pytest.raises(ConfigError, match=r"config\.json: is no config of a run"):
        predict(tmp_path / "run", [folder / "long"])


def test_in_order_stops_what_it_runs_ahead_when_nobody_wants_more():
    done = []

    def work(item):
        done.append(item)
        return -item

    results = in_order(work, range(1000), 2)
    first = next(results)
    results.close()

    assert first == 0
    assert len(done) <= 3


def test_answers_that_are_no_numbers_are_not_scored():
    found = vector_split(9)
    task = tiny_task(Splits(found, found, None, TARGET, Vectors()))
    for variable in task.model.trainable_variables:
        variable.assign(tf.fill(variable.shape, np.nan))

    with pytest.raises(DataError, match="test: the model answers 9 of 9 examples with NaN .* 'tr"):
        evaluate(task, found, found, "test")


def test_no_number_is_shown_as_a_share():
    assert percent(float("nan")) == measured("accuracy", float("nan")) == "no number"
    assert measured("loss", float("inf")) == "no number"
