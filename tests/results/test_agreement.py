"""A run that is opened again has to find the same examples and to answer as it did."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from tiny import Ramp

from kft.config.run_config import load_config
from kft.errors import DataError, ExportError
from kft.progress import shown_on
from kft.results.agreement import differences_of_likeliest
from kft.storage.run_files import CONFIG, ENVIRONMENT, PREDICTIONS
from kft.workflows.rerun import evaluate_run, export_run
from kft.workflows.run import run

PHASE = {"name": "head", "epochs": 2, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "none"}}


class Shifted(Ramp):
    """The same vectors, with those of one part a little off, as if their files were others."""

    by: float = 0.0
    part: str = "test"

    def load(self, seed):
        found = super().load(seed)
        split = found.by_name()[self.part]
        moved = replace(split, fetch=lambda index: split.fetch(index) + self.by)
        return replace(found, **{self.part: moved})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run without exports."""
    settings = {
        "output_dir": str(tmp_path_factory.mktemp("trained") / "run"),
        "data": {"kind": f"{__name__}:Shifted"},
        "backbone": {"kind": "tiny:TinyDense"},
        "phases": [PHASE],
        "exporters": [],
    }
    return run(load_config(settings)).directory


@pytest.fixture
def directory(trained, tmp_path):
    """A copy of that run."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def change(directory, name, **settings):
    """Changes the data in the config of a run, or its environment."""
    found = json.loads((directory / name).read_text())
    (found["data"] if name == CONFIG else found).update(settings)
    (directory / name).write_text(json.dumps(found))


@pytest.mark.parametrize("do", [evaluate_run, export_run])
def test_other_content_under_the_same_names_is_told(directory, do):
    change(directory, CONFIG, by=2.0)

    with pytest.raises(ExportError) as error:
        do(directory)

    assert "does not answer as it did: the answers to 9 examples, such as 'test/0'" in str(
        error.value
    )
    assert "whether the data, your own code or versions" in str(error.value)
    assert not (directory / "export").exists()


def test_a_validation_split_with_other_content_is_told_by_its_loss(directory):
    change(directory, CONFIG, by=2.0, part="validation")

    with pytest.raises(ExportError, match=r"scores.json: .* the loss of validation was [\d.]+ and"):
        evaluate_run(directory)


def test_other_examples_are_told_by_name(directory):
    change(directory, CONFIG, sizes=[22, 9, 8])

    with pytest.raises(
        DataError, match="split.csv: .* it no longer has, or not so, 'test/8'. Restore"
    ):
        evaluate_run(directory)


def test_more_examples_to_train_on_change_no_score(directory):
    change(directory, CONFIG, sizes=[25, 9, 9])

    assert evaluate_run(directory)["test"]["size"] == 9


def test_another_list_to_leave_out_is_told(directory, tmp_path):
    (tmp_path / "list.txt").write_text("test/3\n")
    change(directory, CONFIG, exclude=str(tmp_path / "list.txt"))

    with pytest.raises(
        ExportError, match="were 9 examples to answer and are 8; not in .* 'test/3'"
    ):
        evaluate_run(directory)


def test_other_versions_may_round_otherwise_and_no_more(directory):
    change(directory, ENVIRONMENT, tensorflow="2.0.0")
    change(directory, CONFIG, by=1e-3)
    with (directory.parent / "said").open("w") as said, shown_on(Console(file=said, width=999)):
        evaluate_run(directory)
    change(directory, CONFIG, by=2.0)

    was = f"tensorflow was 2.0.0 and is {tf.__version__}"
    assert was in (directory.parent / "said").read_text()
    with pytest.raises(ExportError, match=was):
        evaluate_run(directory)


def test_a_run_without_predictions_is_scored_with_a_note(directory):
    (directory / PREDICTIONS).unlink()
    with (directory.parent / "said").open("w") as said, shown_on(Console(file=said, width=999)):
        evaluate_run(directory)

    assert "has no predictions.csv, so" in (directory.parent / "said").read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("predictions.csv", "path\ntest/0\n"),
        ("predictions.csv", "\n".join(["", *(f"test/{n},a,b,x,y,z" for n in range(9))])),
        ("scores.json", "{"),
        ("scores.json", "{}"),
        ("split.csv", "path\ntest/0\n"),
        ("environment.json", "[1]"),
    ],
)
def test_what_is_compared_with_may_be_damaged(directory, name, text):
    (directory / name).write_text(text)

    with pytest.raises(ExportError, match=f"{name}: is not as the run wrote it: "):
        evaluate_run(directory)


def test_of_many_classes_the_likeliest_are_compared_by_their_names():
    row = ["a.png", "cat", "cat", "cat", ".6", "dog", ".3", "eel", ".1", "fox", "0", "gnu", "0"]
    swapped = [*row[:3], "dog", ".6", "cat", ".3", *row[7:]]
    other = [*row[:-2], "yak", "0"]

    differences = differences_of_likeliest([row] * 3, [row, swapped, other], Path("p.csv"))

    np.testing.assert_allclose(differences, [[0], [0.3], [0]], atol=1e-6)


def test_a_table_of_the_likeliest_that_is_damaged_is_refused():
    row = ["a.png", "cat", "cat", *["cat", "half"] * 5]

    with pytest.raises(ExportError, match=r"p.csv: is not as the run wrote it"):
        differences_of_likeliest([row], [row], Path("p.csv"))
