"""What bad input gets: one message, an exit code, no traceback.

The cases that need TensorFlow share one process, since that takes longest to start. Each is a
command with its own folder and its own standard streams.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

TESTS = Path(__file__).parent
IMAGES = {"kind": "image", "size": [32, 32]}
MOBILENET = {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"}
HEAD_PHASE = {
    "name": "head",
    "epochs": 1,
    "optimizer": {"kind": "adam"},
    "unfreeze": {"kind": "none"},
}
TINY = {
    "data": {"kind": "tiny:Ramp"},
    "backbone": {"kind": "tiny:TinyDense"},
    "phases": [HEAD_PHASE],
    "exporters": [],
}


@dataclass(frozen=True)
class Done:
    """What a finished command left."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def message(self) -> str:
        return self.err[self.err.index("Error: ") :]

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


def python(folder: Path, *command: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Runs Python in `folder`, where weights that Keras has downloaded before are not found."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = os.environ | {"PYTHONPATH": path, "KERAS_HOME": str(folder / "keras")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        **settings,
    )


def kft(folder: Path, *arguments: str) -> Done:
    """Runs ``kft`` in `folder`."""
    done = python(folder, "-m", "kft", *arguments)
    return Done(done.returncode, done.stdout, done.stderr, folder)


class Command:
    """``kft run config.json`` with more arguments; no file may grow beyond `full_at` bytes."""

    def __init__(self, *arguments: str, full_at: int | None = None) -> None:
        self.arguments = ["run", "config.json", *arguments]
        self.full_at = full_at

    def in_folder(self, folder: Path) -> list[object]:
        return [str(folder), self.arguments, self.full_at]


def photos(folder: Path, **counts: int) -> None:
    """Makes so many pictures for each class."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / "photos" / name).mkdir(parents=True)
        for index in range(count):
            colour = (200 * (number % 2), 7 * index, 200 * (number // 2))
            Image.new("RGB", (40, 40), colour).save(folder / "photos" / name / f"{index}.png")


def write(folder: Path, **settings: object) -> None:
    config = {"output_dir": "run", **settings}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def on_photos(folder: Path, data: dict[str, object] | None = None, **settings: object) -> None:
    """Writes a config for the pictures in ``photos``."""
    found = {"kind": "folder", "path": "photos", "batch_size": 4, "input": IMAGES, **(data or {})}
    defaults = {"backbone": MOBILENET, "phases": [HEAD_PHASE], "exporters": []}
    write(folder, data=found, **{**defaults, **settings})


def no_folder(folder: Path) -> Command:
    on_photos(folder)
    return Command()


def empty_folder(folder: Path) -> Command:
    (folder / "photos" / "cats").mkdir(parents=True)
    on_photos(folder)
    return Command()


def one_class(folder: Path) -> Command:
    photos(folder, cats=6)
    on_photos(folder)
    return Command()


def small_class(folder: Path) -> Command:
    photos(folder, cats=6, dogs=2)
    on_photos(folder)
    return Command()


def truncated(folder: Path) -> Command:
    photos(folder, cats=6, dogs=6)
    cut_in_half(folder / "photos" / "cats" / "3.png")
    on_photos(folder)
    return Command()


def skipped(folder: Path) -> Command:
    photos(folder, cats=6, dogs=6)
    cut_in_half(folder / "photos" / "cats" / "3.png")
    on_photos(folder, {"on_bad_input": "skip"})
    return Command()


def cut_in_half(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def small_images(folder: Path) -> Command:
    photos(folder, cats=6, dogs=6)
    on_photos(folder, {"input": {**IMAGES, "size": [16, 16]}})
    return Command()


def too_many_stages(folder: Path) -> Command:
    write(folder, **TINY)
    unfreeze = '--set=phases.0.unfreeze={"kind": "top", "stages": 9}'
    return Command("--trust", "tiny", unfreeze)


def no_such_stage(folder: Path) -> Command:
    write(folder, **TINY)
    unfreeze = '--set=phases.0.unfreeze={"kind": "match", "pattern": "block_.*"}'
    return Command("--trust", "tiny", unfreeze)


def full_output_dir(folder: Path) -> Command:
    write(folder, **TINY)
    (folder / "run").mkdir()
    (folder / "run" / "scores.json").write_text("mine", encoding="utf-8")
    return Command("--trust", "tiny")


def no_download(folder: Path) -> Command:
    photos(folder, cats=6, dogs=6)
    on_photos(folder, backbone={"kind": "keras_application", "name": "VGG16"})
    return Command()


def full_before_the_weights(folder: Path) -> Command:
    write(folder, **TINY)
    return Command("--trust", "tiny", full_at=4_000)


def full_at_the_export(folder: Path) -> Command:
    large = {"backbone": {"kind": "tiny:TinyConstant"}, "exporters": [{"kind": "saved_model"}]}
    write(folder, **{**TINY, **large})
    return Command("--trust", "tiny", full_at=60_000)


def no_number(folder: Path) -> Command:
    wild = {"name": "wild", "epochs": 2, "clip_norm": None, "unfreeze": {"kind": "all"}}
    wild["optimizer"] = {"kind": "sgd", "learning_rate": 1e30}
    write(folder, **{**TINY, "phases": [HEAD_PHASE, wild]})
    return Command("--trust", "tiny")


CASES = [
    no_folder,
    empty_folder,
    one_class,
    small_class,
    truncated,
    skipped,
    small_images,
    too_many_stages,
    no_such_stage,
    full_output_dir,
    no_download,
    full_before_the_weights,
    full_at_the_export,
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each of the cases left, by the function that made it."""
    folders = {case: tmp_path_factory.mktemp(case.__name__) for case in CASES}
    commands = [case(folder).in_folder(folder) for case, folder in folders.items()]
    script = str(TESTS / "run_commands.py")
    shared = python(tmp_path_factory.mktemp("shared"), script, input=json.dumps(commands))
    assert shared.returncode == 0, shared.stderr
    codes = json.loads(shared.stdout)
    return {
        case: Done(code, (folder / "out.txt").read_text(), (folder / "err.txt").read_text(), folder)
        for (case, folder), code in zip(folders.items(), codes, strict=True)
    }


def assert_one_message(done: Done, code: int, *patterns: str) -> None:
    """Asserts that the command said what is wrong, in one message and with nothing after it."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert done.err.count("Error") == 1
    for pattern in patterns:
        assert re.search(pattern, done.message), done.message


def test_every_fault_of_a_config_is_listed_at_once_with_its_path(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "sede": 3,
                "data": {"kind": "foldr", "path": "photos"},
                "backbone": {"name": "MobileNetV2"},
                "head": {"kind": 7},
                "phases": [
                    {**HEAD_PHASE, "epochs": 0},
                    {**HEAD_PHASE, "optimizer": {"kind": "sgd", "momentun": 0.9}},
                ],
                "exporters": [{"kind": "nowhere.to:Be"}],
                "select": "worst",
            }
        ),
        encoding="utf-8",
    )

    done = kft(tmp_path, "run", "config.json", "--trust", "nowhere")

    assert_one_message(
        done,
        2,
        r"^Error: config.json: 8 settings are wrong. Correct:\n",
        r"  sede: unknown key. Did you mean 'seed'\?",
        r"  data: no data kind 'foldr'. Did you mean 'folder'\?",
        r"  backbone: has no 'kind'. Known: keras_application",
        r"  head: has a 'kind' that is 7. Known: classifier",
        r"  phases\[0\].epochs: should be greater than 0 \(got 0\)",
        r"  phases\[1\].optimizer.momentun: unknown key. Did you mean 'momentum'\?",
        r"  exporters\[0\]: cannot import 'nowhere.to:Be': No module named 'nowhere'",
        r"""  select: should be 'auto', 'best', 'last' or 'interpolate' \(got "worst"\)""",
    )


def test_a_config_that_is_no_json_is_told_with_line_and_column(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": 1,\n "data": }', encoding="utf-8")

    done = kft(tmp_path, "run", "config.json")

    assert_one_message(done, 2, r"config.json: is not JSON: Expecting value: line 2 column 10")


def test_a_class_of_the_user_needs_trust(tmp_path):
    write(tmp_path, **TINY)

    done = kft(tmp_path, "run", "config.json")

    assert_one_message(done, 2, r"data: 'tiny:Ramp' would run code .*add --trust tiny", "backbone:")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("case", "code", "patterns"),
    [
        (no_folder, 1, ["data.path '.*/photos': "]),
        (empty_folder, 1, ["data.path '.*/photos': is empty, but for folders", "Give a folder"]),
        (one_class, 1, ["data.path .*: has 1 class to train on, 'cats'; expected 2 or more"]),
        (
            small_class,
            1,
            ["data.path .*: too few examples.*'dogs' has 2.*set data.split.test to 0"],
        ),
        (truncated, 1, [r"1 of the examples cannot be read: cats/3.png \(", "on_bad_input"]),
        (small_images, 2, ["data.input.size: is 16x16, but MobileNetV2 needs at least 32x32"]),
        (too_many_stages, 2, [r"phases\[0\].unfreeze.stages: got 9, but .* has 2 stages"]),
        (no_such_stage, 2, [r"phases\[0\].unfreeze.pattern: 'block_\.\*' matches none of the 2"]),
        (full_output_dir, 2, ["output_dir '.*/run': is not an empty directory. Give a new"]),
        (no_download, 1, ["weights of VGG16", "https://.*vgg16.*notop.h5 by hand and put it at"]),
        (full_before_the_weights, 1, ["/run: cannot be written: File too large. Make room"]),
        (full_at_the_export, 1, ["File too large", "Make room and run it again with --resume"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_input_gets_one_message(told, case, code, patterns):
    assert_one_message(told[case], code, *patterns)


@pytest.mark.parametrize("case", [no_folder, truncated, small_images, too_many_stages, no_download])
def test_what_is_refused_is_refused_before_the_first_step(told, case):
    assert not (told[case].folder / "run" / "metrics.jsonl").exists()


def test_what_is_in_the_output_directory_is_not_touched(told):
    folder = told[full_output_dir].folder

    assert [path.name for path in (folder / "run").iterdir()] == ["scores.json"]
    assert (folder / "run" / "scores.json").read_text() == "mine"


def test_skipping_lists_what_it_skipped_and_deletes_nothing(told):
    done = told[skipped]

    assert done.code == 0, done.err
    assert "note: left out 1 unreadable: cats/3.png (" in done.err
    assert done.read("run/skipped.csv").splitlines()[1].startswith("cats/3.png,")
    assert "cats/3.png" in done.read("run/split.csv"), "which must name all of the data"
    assert len(list((done.folder / "photos" / "cats").iterdir())) == 6


def test_a_full_disk_at_the_export_leaves_the_trained_weights(told):
    folder = told[full_at_the_export].folder

    assert (folder / "run" / "checkpoints" / "best.weights.h5").stat().st_size > 0
    assert not list((folder / "run" / "export").iterdir())


def test_a_loss_that_is_no_number_leaves_the_best_weights_so_far(tmp_path):
    """In a process of its own, to see that one ends well in the midst of training."""
    command = no_number(tmp_path)

    done = kft(tmp_path, *command.arguments)

    assert_one_message(
        done, 1, r"phase 'wild', epoch 2, step \d.*: the loss is (nan|inf)", "clip_norm"
    )
    assert "The weights of epoch 1 are in " in done.err
    assert (done.folder / "run" / "checkpoints" / "best.weights.h5").is_file()
