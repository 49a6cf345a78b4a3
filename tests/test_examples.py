import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = pytest.mark.slow


def output_of(example, *arguments, folder):
    """What an example prints, run as a person would: in a process of its own, from elsewhere."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / example, *map(str, arguments)],
        cwd=folder,
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def accuracy_in(printed):
    return float(re.search(r"Test accuracy: (\S+)", printed)[1])


def test_every_example_is_run_here_and_says_how_to_run_it():
    tested = Path(__file__).read_text(encoding="utf-8")

    for example in EXAMPLES.glob("*.py"):
        assert f'output_of("{example.name}"' in tested
        assert f"python examples/{example.name}" in example.read_text(encoding="utf-8")


def test_a_folder_of_images_becomes_a_model_that_tensorflow_alone_can_load(tmp_path):
    shapes = ("circle", "square", "triangle")
    files = [f"work/shapes/{shape}/0.png" for shape in shapes]

    trained = output_of("folder_of_images.py", "work", folder=tmp_path)
    model = re.search(r"SavedModel: (\S+)", trained)[1]
    served = output_of("load_saved_model.py", model, *files, folder=tmp_path)

    predicted = [f"{file}: {shape} " for file, shape in zip(files, shapes, strict=True)]
    assert accuracy_in(trained) >= 0.9
    assert "data.input.size: the short side of the images is 96 px" in trained
    assert "Phase 'head' trains 3,843 parameters" in trained
    assert all(answer in trained for answer in predicted)
    assert "Knows 3 classes: circle, square, triangle" in served
    answers = [line for line in trained.splitlines() if line.startswith("work/shapes/")]
    assert [line for line in served.splitlines() if line in answers] == answers


def test_the_example_that_serves_imports_tensorflow_alone():
    lines = (EXAMPLES / "load_saved_model.py").read_text(encoding="utf-8").splitlines()

    imported = {line for line in lines if line.startswith(("import ", "from "))}

    assert imported == {"import sys", "from pathlib import Path", "import tensorflow as tf"}


def test_an_own_dataset_and_an_own_backbone_make_a_model(tmp_path):
    printed = output_of("own_dataset_and_backbone.py", "work", folder=tmp_path)

    predicted, labels = re.findall(r"^(?:Predicted|Labels): +(.*)$", printed, re.MULTILINE)
    right = [guess == label for guess, label in zip(predicted.split(), labels.split(), strict=True)]
    assert accuracy_in(printed) >= 0.85
    assert sum(right) >= 4
    assert (tmp_path / "work/run/export/saved_model/saved_model.pb").is_file()


def test_an_own_callback_needs_trust_and_ends_the_phase(tmp_path):
    printed = output_of("own_callback.py", "work", folder=tmp_path)

    ran, planned = map(int, re.search(r"Ran (\d+) of (\d+) epochs", printed).groups())
    assert "Without trust: " in printed
    assert "--trust own_callback" in printed
    assert f"Epoch {ran}: 0." in printed
    assert ran < planned
    assert accuracy_in(printed) >= 0.65


def test_callbacks_work_in_a_fit_of_ones_own(tmp_path):
    printed = output_of("callbacks_in_your_own_fit.py", folder=tmp_path)

    scores = [float(score) for score in re.findall(r"validation accuracy (\S+);", printed)]
    moved = re.findall(r"moved: low (\S+), high (\S+)", printed)
    assert moved[:3] == [("0.000", "0.000")] * 3
    assert "0.000" not in moved[-1]
    assert "Statistics of batch norm moved: 0.000" in printed
    assert max(scores[3:]) > max(scores[:3])
    assert f"{max(scores):.3f}" in printed.splitlines()[-1]
