"""The commands, on pictures made here and with a backbone of the user's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from distributed import BASE
from PIL import Image

from kft.backbones.offline import is_offline
from kft.cli.main import main
from kft.image.application import applications
from kft.settings.catalog import CATALOG
from kft.storage.run_files import BEST_WEIGHTS

OWN_BACKBONE = '''
import keras

from kft.backbone import Backbone, BackboneSource, layer_stages


class Small(BackboneSource):
    """Two convolutions."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype="uint8")
        x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
        x = keras.layers.Conv2D(6, 3, strides=2, activation="relu", name="low")(x)
        x = keras.layers.Conv2D(6, 3, strides=2, name="high")(x)
        outputs = keras.layers.GlobalAveragePooling2D()(x)
        model = keras.Model(inputs, outputs)
        return Backbone("small", model, layer_stages(model), self.batch_norm)
'''
PHASES = [
    {
        "name": "head",
        "epochs": 2,
        "optimizer": {"kind": "adam", "learning_rate": 0.05},
        "unfreeze": {"kind": "none"},
    },
    {
        "name": "tune",
        "epochs": 2,
        "optimizer": {"kind": "sgd", "learning_rate": 0.01},
        "schedule": {"kind": "cosine"},
        "unfreeze": {"kind": "top", "stages": 1},
    },
]
NOISE = re.compile(r"oneDNN|I0000|absl|cuda|rebuild TensorFlow", re.IGNORECASE)


def make_photos(folder: Path, **colours: tuple[int, int, int]) -> None:
    for name, (red, green, blue) in colours.items():
        (folder / name).mkdir(parents=True)
        for index in range(12):
            colour = (red + index, green + index, blue + index)
            Image.new("RGB", (40, 30), colour).save(folder / name / f"{index}.png")


def process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ``kft`` as its script does: the working directory is not where Python imports from."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "kft", *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with pictures, a config and the user's backbone."""
    folder = tmp_path_factory.mktemp("home")
    make_photos(folder / "photos", blue=(20, 20, 200), red=(200, 20, 20))
    (folder / "mine.py").write_text(OWN_BACKBONE, encoding="utf-8")
    config = {
        "output_dir": "run",
        "data": {
            "kind": "folder",
            "path": "photos",
            "batch_size": 4,
            "input": {"kind": "image", "size": [32, 32]},
        },
        "backbone": {"kind": "mine:Small"},
        "head": {"kind": "classifier", "dropout": 0},
        "phases": PHASES,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def done(home) -> subprocess.CompletedProcess[str]:
    """``kft run``, which leaves the directory ``run`` in `home`."""
    return process(home, "run", "config.json", "--trust", "mine")


@pytest.fixture
def kft(home, done, monkeypatch):
    """Runs a command in `home`, in this process."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, catch_exceptions=False)

    return invoke


def modules_after(code: str) -> set[str]:
    """The heavy packages that are imported after `code` has run in a process of its own."""
    script = f"""
import sys
{code}
print(*({{"tensorflow", "keras", "numpy", "sklearn", "matplotlib", "PIL"}} & {{*sys.modules}}))
"""
    command = [sys.executable, "-c", script]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(shown.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["check", "quickstart", "--config-only"],
        ["schema"],
        ["backbones"],
    ],
    ids=" ".join,
)
def test_what_answers_at_once_imports_nothing_heavy(arguments):
    code = f"""
from kft.cli.main import main
try:
    main({arguments})
except SystemExit as end:
    assert not end.code
"""
    assert modules_after(code) == set()


def test_every_kind_of_the_catalog_imports_nothing_heavy():
    homes = {path.partition(":")[0] for kinds in CATALOG.values() for path in kinds.values()}

    assert modules_after(f"import {', '.join(sorted(homes))}") == set()


def test_help_is_whole_sentences_at_80_columns():
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output

    assert "..." not in shown.partition("Commands:")[2]
    for command in main.commands:
        assert re.search(rf"^  {command} +[A-Z].*\.$", shown, re.MULTILINE)


def test_a_run_ends_with_what_a_person_wants_to_know(done, home):
    shown = done.stdout

    assert done.returncode == 0, done.stderr
    assert re.search(r"^head +2 ", shown, re.MULTILINE)
    assert re.search(r"^tune +2( +[\d.]+ %){2} +[34] +[\d.]+ % +\d+ s$", shown, re.MULTILINE)
    assert re.search(
        r"The weights of epoch [34], of .tune.: the last, or one clearly better", shown
    )
    assert "Fine-tuning gained" in shown
    assert re.search(r"^test +\d+ +[\d.]+ %", shown, re.MULTILINE)
    assert "Everything is in run\n" in shown
    assert re.search(r"export/saved_model: answers as the run does, to (the last bit|\de-)", shown)
    assert "kft predict run FILES" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_where_nobody_looks_there_are_no_bars_no_escapes_and_no_noise(done):
    for text in (done.stdout, done.stderr):
        assert "\x1b" not in text
        assert "\r" not in text
        assert "━" not in text
        assert not NOISE.search(text)
    assert "Reading" in done.stderr
    assert "Warning" not in done.stderr


def test_verbose_shows_what_tensorflow_says(home):
    """The user's module imports Keras, and that TensorFlow."""
    loud = process(home, "--verbose", "check", "config.json", "--config-only", "--trust", "mine")

    assert loud.returncode == 0
    assert NOISE.search(loud.stderr)


def test_nothing_but_kft_is_on_the_path_without_trust(done, home):
    refused = process(home, "check", "config.json", "--config-only")

    assert refused.returncode == 2
    assert "add --trust mine" in refused.stderr
    assert done.returncode == 0, done.stderr


def test_predict_shows_a_table_of_what_it_can_read_and_names_what_it_cannot(kft, home):
    (home / "broken.png").write_text("no picture", encoding="utf-8")
    os.mkfifo(home / "pipe.png")
    (home / "none").mkdir()
    files = ("photos/red/0.png", "broken.png", "gone.png", "none", "pipe.png", "/dev/zero")

    told = kft("predict", "run", *files)

    assert told.exit_code == 1
    assert re.search(r"^photos/red/0.png +(red|blue) +[\d.]+ %", told.stdout, re.MULTILINE)
    assert told.stderr.splitlines() == [
        "Error: broken.png: cannot be read: this is no JPEG, PNG, GIF, BMP or WebP file.",
        "Error: gone.png: cannot be read: No such file or directory.",
        "Error: none: cannot be read: Holds no files; the model reads .jpg, .jpeg, .jfif, .png, "
        ".gif, .bmp, .webp, .tif, .tiff, .avif, .heic, .heif, .hif, .jxl.",
        "Error: pipe.png: cannot be read: Is a pipe, no file.",
        "Error: /dev/zero: cannot be read: Is a device, no file.",
    ]


def test_predict_prints_json_lines(kft):
    files = ("photos/red/0.png", "photos/blue/0.png")

    told = kft("predict", "run/export/saved_model", *files, "--json")

    first, second = map(json.loads, told.stdout.splitlines())
    assert told.exit_code == 0
    assert first["file"] == "photos/red/0.png"
    assert second["file"] == "photos/blue/0.png"
    assert first["scores"].keys() == {"red", "blue"}
    assert sum(first["scores"].values()) == pytest.approx(1)
    assert first["prediction"] == max(first["scores"], key=first["scores"].get)


def test_predict_without_a_model_says_how_to_get_one(kft):
    told = kft("predict", "photos", "photos/red/0.png")
    gone = kft("predict", "nowhere", "photos/red/0.png")

    assert told.exit_code == gone.exit_code == 2
    assert "photos: holds no SavedModel" in told.stderr
    assert "kft export photos" in told.stderr
    assert "nowhere: is no directory. Give the directory of a run" in gone.stderr


def test_evaluate_gives_the_scores_of_the_run_again(kft, home):
    told = kft("evaluate", "run", "--trust", "mine", "--json")

    scores, first = json.loads(told.stdout), json.loads((home / "run/scores.json").read_text())
    assert told.exit_code == 0
    assert scores == {name: first[name] for name in ("validation", "test")}


def test_evaluate_scores_other_pictures(kft, home):
    make_photos(home / "others", red=(180, 40, 40), blue=(40, 40, 180))

    told = kft("evaluate", "run", "others", "--trust", "mine")

    assert re.search(r"^data +24 +", told.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_a_run_of_foreign_code_needs_trust(kft, command):
    told = kft(command, "run")

    assert told.exit_code == 2
    assert "'mine:Small' would run code of the package 'mine'" in told.stderr


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_what_is_no_run_is_refused(kft, command):
    told = kft(command, "photos")

    assert told.exit_code == 2
    assert "photos: is not the directory of a run" in told.stderr


@pytest.mark.slow
def test_export_writes_what_is_missing_and_overwrites_nothing(kft, home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "export")

    first = kft("export", str(tmp_path / "run"), "--trust", "mine")
    again = kft("export", str(tmp_path / "run"), "--trust", "mine")
    other = kft("export", str(tmp_path / "run"), "--trust", "mine", "--to", str(tmp_path / "other"))
    wrong = kft("export", str(tmp_path / "run"), "--trust", "mine", "--format", "saved_modle")

    assert other.exit_code == 0, other.output
    assert f"{tmp_path}/other/saved_model: answers as the run does" in other.stdout
    assert first.exit_code == 0, first.output
    assert "export/saved_model: answers as the run does (largest difference" in first.stdout
    assert again.exit_code == 1
    assert "saved_model: already exists" in again.stderr
    assert wrong.exit_code == 2
    assert "no exporter kind 'saved_modle'. Did you mean 'saved_model'?" in wrong.stderr


def test_plan_says_what_trains_when_at_which_rate(kft):
    told = kft("plan", "config.json", "--trust", "mine")
    stages = kft("plan", "config.json", "--trust", "mine", "--stages")

    assert told.exit_code == 0
    assert re.search(r"^red +\d+ +\d+ +\d+ *$", told.stdout, re.MULTILINE)
    assert "small: 2 stages, 512 parameters in all" in told.stdout
    assert "head: trains the head alone. Features are computed once" in told.stdout
    assert "tune: trains the head and 1 stage from high. Features are computed once, up to" in (
        told.stdout.replace("\n", " ").replace("  ", " ")
    )
    assert re.search(r"^head +2 +\d+ +14 +adam", told.stdout, re.MULTILINE)
    assert re.search(r"^tune +2 +\d+ +344 +", told.stdout, re.MULTILINE)
    assert "0.01 → " in told.stdout
    assert stages.stdout.split() == ["low", "high"]


def test_plan_says_at_which_rates_the_stages_train_and_that_mixing_keeps_no_features(kft):
    changes = ["phases.1.layer_decay=0.5", "phases.0.mixup=0.2"]
    told = kft(
        "plan", "config.json", "--trust", "mine", *(w for c in changes for w in ("--set", c))
    )

    shown = " ".join(told.stdout.split())
    assert (
        "head: trains the head alone. Features are computed anew: the examples are mixed" in shown
    )
    assert "tune: trains the head and 1 stage from high, at 0.5 to 1 of the rate. Features" in shown


def test_check_finds_nothing_in_what_is_fine(kft):
    told = kft("check", "config.json", "--trust", "mine", "--set", "output_dir=new")

    assert told.exit_code == 0
    assert "Nothing stands in the way of the run." in told.stdout


def test_check_lists_every_fault_of_data_and_settings(kft, home, tmp_path):
    shutil.copytree(home / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "red" / "3.png").write_bytes(b"")
    (tmp_path / "photos" / "blue" / "5.png").write_bytes(b"no")

    told = kft(
        "check",
        "config.json",
        *("--trust", "mine"),
        *("--set", f"data.path={tmp_path}/photos"),
        *("--set", "phases.1.unfreeze.stages=9"),
        *("--set", "class_weights.green=2"),
        *("--set", 'callbacks=[{"kind": "keras.callbacks:EarlyStopping", "speed": 2}]'),
    )

    shown = " ".join(told.stdout.split())
    assert told.exit_code == 1
    assert re.search("fault: output_dir '[^']*run': is not an empty directory", shown)
    assert "fault: red/3.png: cannot be read (Input is empty" in shown
    assert "fault: blue/5.png: cannot be read" in shown
    assert "fault: phases[1].unfreeze.stages: got 9" in shown
    assert "fault: class_weights: there is no class 'green'" in shown
    assert "fault: callbacks 'keras.callbacks:EarlyStopping': cannot be made" in shown
    assert "The run would stop." in shown


def test_check_writes_what_it_found_and_a_list_that_mends_it(kft, home, tmp_path):
    shutil.copytree(home / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "red" / "3.png").write_bytes(b"")
    report, listed = tmp_path / "report.json", tmp_path / "list.txt"
    common = ["--trust", "mine", "--set", f"data.path={tmp_path}/photos", "--set", "output_dir=new"]

    told = kft(
        "check", "config.json", *common, "--json", str(report), "--write-exclude", str(listed)
    )
    mended = kft("check", "config.json", *common, "--set", f"data.exclude={listed}", "--json")
    again = kft("check", "config.json", *common, "--json", str(report))

    assert told.exit_code == 1
    written = json.loads(report.read_text())
    assert written["fine"] is False
    assert written["bad"] == {"red/3.png": "Input is empty."}
    assert "red/3.png\t# cannot be read: Input is empty." in listed.read_text()
    assert mended.exit_code == 0
    assert json.loads(mended.stdout)["fine"] is True
    assert again.exit_code == 2
    assert f"Error: {report}: already exists. Give another file name" in again.stderr


def test_check_counts_what_a_run_would_skip_as_no_fault(kft, home, tmp_path):
    shutil.copytree(home / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "red" / "3.png").write_bytes(b"")
    where = f"data.path={tmp_path}/photos"

    told = kft(
        "check",
        "config.json",
        *("--trust", "mine"),
        *("--set", where),
        *("--set", "data.on_bad_input=skip"),
        *("--set", "output_dir=new"),
    )

    assert told.exit_code == 0
    assert "skips: red/3.png (" in told.stdout


def test_init_writes_a_config_that_loads_and_says_why(kft, home):
    told = kft("init", "photos", "--output", "first.json")
    again = kft("init", "photos", "--output", "first.json")

    written = json.loads((home / "first.json").read_text())
    assert told.exit_code == 0
    assert "Wrote first.json" in told.stdout
    assert "kft run first.json" in told.stdout
    assert written["data"]["input"]["size"] == [96, 96]
    assert "batch_size" not in written["data"]
    assert kft("check", "first.json", "--config-only").exit_code == 0
    assert again.exit_code == 2
    assert "first.json: already exists" in again.stderr


def test_names_of_classes_are_shown_as_they_are(kft, home, tmp_path):
    make_photos(tmp_path / "odd", **{"[red]": (200, 0, 0), ":smile:": (0, 0, 200)})

    told = kft("plan", "config.json", "--trust", "mine", "--set", f"data.path={tmp_path}/odd")

    assert re.search(r"^\[red\] ", told.stdout, re.MULTILINE)
    assert re.search(r"^:smile: ", told.stdout, re.MULTILINE)


def test_backbones_are_listed_for_people_and_for_programs():
    table = CliRunner().invoke(main, ["backbones"])
    lines = CliRunner().invoke(main, ["backbones", "--json"])

    listed = {backbone["name"]: backbone for backbone in json.loads(lines.stdout)}
    assert re.search(r"^MobileNetV2 +2,257,984 .*bundled", table.stdout, re.MULTILINE)
    assert listed["MobileNetV2"]["weights"] == "bundled"
    assert list(listed) == list(applications())
    assert max(map(len, table.stdout.splitlines())) <= 80


def test_backbones_are_sorted_and_counted_for_a_size():
    options = ["--size", "448", "--sort", "multiply_adds"]
    table = CliRunner().invoke(main, ["backbones", *options]).stdout
    lines = CliRunner().invoke(main, ["backbones", *options, "--json"]).stdout

    counts = [row["multiply_adds"] for row in json.loads(lines)]
    assert counts == sorted(counts)
    assert re.search(r"^VGG16 +14,714,688 +58.9 +61.39 ", table, re.MULTILINE)
    assert "448x448 pixels" in table


def test_offline_is_said_to_all_that_may_download(monkeypatch):
    monkeypatch.setenv("KFT_OFFLINE", "")
    assert not is_offline()

    result = CliRunner().invoke(main, ["--offline", "backbones"])

    assert result.exit_code == 0
    assert is_offline()


def test_a_file_that_cannot_be_written_is_named(kft):
    told = kft("init", "photos", "--output", "nowhere/first.json")

    assert told.exit_code == 1
    assert (
        told.stderr == "Error: nowhere/first.json: No such file or directory. Give another path.\n"
    )


def run_own(tmp_path, *words, **settings):
    """Runs a config with parts of these tests, as the command does."""
    config = tmp_path / "config.json"
    output = {"output_dir": str(tmp_path / "run")}
    config.write_text(json.dumps({**BASE, **output, **settings}), encoding="utf-8")
    trust = [word for name in ("tiny", "signals") for word in ("--trust", name)]
    return CliRunner().invoke(main, ["run", str(config), *trust, *words])


@pytest.fixture
def own_path(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.usefixtures("own_path")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_run_that_is_asked_to_end_keeps_the_best_weights(tmp_path, capfd, name, code):
    ends = {"kind": "signals:SignalsItself", "name": name, "epoch": 1, "step": 1}
    output, before = tmp_path / "run", signal.getsignal(signal.SIGTERM)

    told = run_own(tmp_path, callbacks=[ends])

    assert told.exit_code == code
    assert (
        f"holds metrics.jsonl, {BEST_WEIGHTS}\nGo on with:  kft run {output}"
        in capfd.readouterr().err
    )
    assert told.output.endswith(f"Ended by {name}.\n")
    assert (output / BEST_WEIGHTS).is_file()
    assert not (output / "scores.json").exists()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("own_path")
@pytest.mark.parametrize("epoch", [None, 0], ids=["while it reads", "in the first epoch"])
def test_what_is_ended_before_it_has_trained_leaves_nothing_and_can_be_given_again(
    tmp_path, capfd, epoch
):
    data = {"kind": "signals:SignalsAtData", "mark": str(tmp_path / "mark")}
    ends = {"kind": "signals:SignalsItself", "name": "SIGINT", "epoch": 0, "step": 1}
    parts = {"data": data} if epoch is None else {"callbacks": [ends]}

    told = run_own(tmp_path, **parts)

    assert told.exit_code == 130
    assert "Nothing had been trained, so " in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
    assert run_own(tmp_path, **{**parts, "callbacks": []}).exit_code == 0


@pytest.mark.usefixtures("own_path")
def test_what_is_ended_while_it_exports_says_what_is_there_and_how_to_go_on(tmp_path, capfd):
    ends = {"kind": "signals:SignalsAtExport", "mark": str(tmp_path / "mark")}

    told = run_own(tmp_path, exporters=[{**ends, "signal_name": "SIGTERM"}])

    assert told.exit_code == 143
    said = capfd.readouterr().err
    assert f"holds metrics.jsonl, {BEST_WEIGHTS}, scores.json, predictions.csv" in said
    assert f"Go on with:  kft run {tmp_path / 'run' / 'config.json'} --resume" in said
