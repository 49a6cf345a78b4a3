"""The main job, as a newcomer runs it: a process, the shipped config, real weights and scans."""

import json
import subprocess
import sys

import pytest

from kft.image.digits import Digits


def kft(*words, cwd):
    command = [sys.executable, "-m", "kft", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_quickstart_reaches_its_accuracy_and_leaves_a_model_that_predicts(tmp_path):
    done = kft("run", "quickstart", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "runs").iterdir()
    scores = json.loads((directory / "scores.json").read_text())
    assert scores["test"]["accuracy"] >= 0.97
    head, tune = scores["phases"]
    assert head["features_kept"]
    assert tune["best"]["accuracy"] > head["best"]["accuracy"]
    assert "Fine-tuning gained" in done.stdout
    assert str(directory.name) in done.stdout

    test = Digits().load(0).test
    file = tmp_path / "digit.png"
    file.write_bytes(test.fetch(0).numpy())
    predicted = kft("predict", str(directory), str(file), "--json", cwd=tmp_path)
    line = json.loads(predicted.stdout)
    assert line["file"] == str(file)
    assert line["prediction"] == str(test.labels[0])
