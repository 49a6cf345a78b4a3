"""Predictions of SavedModels that answer oddly."""

import json

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from tiny import TARGET, Vectors, tiny_task, vector_split

from kft.cli.main import main
from kft.cli.show import measured, percent
from kft.data import Splits
from kft.errors import DataError
from kft.scoring.evaluate import evaluate
from kft.workflows.predict import answers_of, predict_each


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
    (folder / "empty").write_bytes(b"")
    return folder


def test_an_answer_that_is_no_number_is_no_prediction(folder):
    predictions = predict_each(folder / "model", [folder / "long", folder / "empty"])

    assert [each.answer["scores"][0] for each in predictions.found] == [0.25]
    assert predictions.bad == {str(folder / "empty"): "the model's answer is no number"}


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


def test_predictions_come_one_at_a_time(folder):
    each = answers_of(folder / "model", [folder / "long"] * 2)

    assert next(each)[1].answer["scores"][0] == 0.25
    assert len(list(each)) == 1


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
