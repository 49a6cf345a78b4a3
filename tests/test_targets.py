"""Whole runs on a table of pictures with several labels, or with values."""

import csv
from collections import Counter
from io import StringIO

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from kft.cli.show import check_summary, run_summary
from kft.cli.show_plan import plan_summary
from kft.cli.show_predictions import PredictionTable, prediction_line
from kft.config.run_config import load_config
from kft.workflows.check import check
from kft.workflows.plan import plan
from kft.workflows.predict import predict
from kft.workflows.rerun import evaluate_run
from kft.workflows.run import run

PHASES = [
    {
        "name": "head",
        "epochs": 15,
        "optimizer": {"kind": "adam", "learning_rate": 0.1},
        "unfreeze": {"kind": "none"},
    },
    {
        "name": "tune",
        "epochs": 2,
        "optimizer": {"kind": "adam", "learning_rate": 0.01},
        "unfreeze": {"kind": "all"},
    },
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of one colour, and a table of what is to be known of them."""
    folder = tmp_path_factory.mktemp("pictures")
    with (folder / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "tags", "price", "share"])
        for number, (red, blue) in enumerate(np.random.default_rng(0).integers(256, size=(60, 2))):
            Image.new("RGB", (8, 8), (red, 99, blue)).save(folder / f"{number}.png")
            tags = [name for name, value in (("red", red), ("blue", blue)) if value > 127]
            rows.writerow([f"{number}.png", "|".join(tags), 1e6 + 1000 * red, blue / 1e4])
    return folder


def config(folder, name, head, **settings):
    return load_config(
        {
            "output_dir": str(folder / name),
            "data": {
                "kind": "table",
                "path": str(folder / "table.csv"),
                "batch_size": 8,
                "input": {"kind": "image", "size": [8, 8]},
                **settings,
            },
            "backbone": {"kind": "tiny:TinyPixels"},
            "head": head,
            "phases": PHASES,
        }
    )


@pytest.fixture(scope="module")
def labels(folder):
    settings = config(folder, "labels", {"kind": "multilabel"}, label_columns="tags")
    return settings, run(settings)


@pytest.fixture(scope="module")
def values(folder):
    settings = config(folder, "values", {"kind": "regressor"}, value_columns=["price", "share"])
    return settings, run(settings)


def predicted_table(predictions):
    """The table of predictions."""
    table = PredictionTable(3)
    for prediction in predictions:
        table.add(prediction)
    return table.renderable()


def shown(renderable):
    file = StringIO()
    Console(file=file, width=200).print(renderable)
    return file.getvalue()


def table_of(result):
    with (result.directory / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_several_labels_are_learned_scored_and_exported(labels):
    _, result = labels
    test = result.scores["test"]

    assert result.scores["selected"]["monitor"] == "micro_f1"
    assert result.scores["phases"][0]["best"]["micro_f1"] > 0.8
    assert test["micro"]["f1"] > 0.8
    assert test["per_label"].keys() == {"blue", "red"}
    assert (result.directory / "figures" / "labels.png").is_file()
    assert list(result.exports.values()) == [pytest.approx(0, abs=1e-5)]
    rows = table_of(result)
    assert np.mean([row["label"] == row["prediction"] for row in rows]) == pytest.approx(
        test["subset_accuracy"]
    )


def test_values_are_learned_scored_and_exported_in_their_own_units(values):
    _, result = values
    test, rows = result.scores["test"], table_of(result)

    assert result.scores["selected"]["monitor"] == "mae"
    assert test["r2"] > 0.7
    assert test["loss"] < 0.3
    assert (result.directory / "figures" / "values.png").is_file()
    assert list(result.exports.values()) == [pytest.approx(0, abs=1e-5)]
    errors = [abs(float(row["price"]) - float(row["predicted price"])) for row in rows]
    assert np.mean(errors) == pytest.approx(test["per_value"]["price"]["mae"], rel=1e-4)


def test_the_epoch_with_the_lowest_error_is_kept(values):
    _, result = values
    errors = [epoch["val_mae"] for phase in result.phases for epoch in phase.epochs]

    assert result.scores["validation"]["mae"] == pytest.approx(min(errors), rel=1e-4)
    assert result.scores["gain"]["metric"] == "mae"


def test_a_run_with_another_target_is_told_in_its_own_metrics(labels, values):
    of_labels, of_values = (shown(run_summary(result)) for _, result in (labels, values))

    for words in ("Validation micro_f1 of each phase", "mAP", "all labels right"):
        assert words in of_labels
    for words in ("Validation mae of each phase", "RMSE", "R²"):
        assert words in of_values
    assert "accuracy" not in of_labels + of_values


def test_a_plan_counts_labels_and_examples(labels):
    settings, result = labels
    with (result.directory / "split.csv").open() as file:
        splits = Counter(row["split"] for row in csv.DictReader(file))

    told = [line.split() for line in shown(plan_summary(plan(settings))).splitlines()]

    assert ["all", *(str(splits[name]) for name in ("train", "validation", "test"))] in told
    assert "blue" in [line[0] for line in told if line]


def test_a_check_counts_examples_and_tells_what_the_values_are_like(values, tmp_path):
    found = check(values[0].model_copy(update={"output_dir": str(tmp_path)}))

    told = shown(check_summary(found))
    assert found.is_fine
    assert sum(found.sizes.values()) == 60
    assert "'price' in train: from 1" in told


def test_predictions_of_labels_name_those_that_are_likely(folder, labels):
    Image.new("RGB", (8, 8), (250, 99, 5)).save(folder / "red.png")
    Image.new("RGB", (8, 8), (5, 99, 5)).save(folder / "none.png")

    found = predict(labels[1].directory, [folder / "red.png", folder / "none.png"])

    red, none = (prediction_line(one) for one in found)
    assert (red["prediction"], none["prediction"]) == (["red"], [])
    assert red["scores"].keys() == {"red", "blue"}
    assert "none " in shown(predicted_table(found))


def test_predictions_of_values_are_named_and_in_their_units(folder, values):
    path = folder / "0.png"

    (found,) = predict(values[1].directory, [path])

    told = prediction_line(found)["prediction"]
    assert told.keys() == {"price", "share"}
    assert 0.9e6 < told["price"] < 1.4e6
    assert f"{told['price']:.6g}" in shown(predicted_table([found]))


def test_a_run_is_scored_on_another_table_with_the_same_columns(folder, values):
    lines = (folder / "table.csv").read_text().splitlines()
    (folder / "few.csv").write_text("\n".join(lines[:11]))

    scores = evaluate_run(values[1].directory, folder / "few.csv")

    assert scores["data"]["size"] == 10
    assert scores["data"]["loss"] < 0.5
