import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from noted import SeesDeterminism
from rich.console import Console
from tensorflow.python.framework.config import is_op_determinism_enabled
from tiny import Ramp, Vectors
from tiny_runs import PHASES, config
from two_devices import DEVICES

from kft.cli.show import run_summary
from kft.config.run_config import RunConfig, load_config
from kft.data import Target
from kft.errors import ConfigError, DataError, ExportError
from kft.results.report import environment
from kft.workflows.lr_find import lr_find
from kft.workflows.predict import predict
from kft.workflows.rerun import evaluate_run, export_run, open_run
from kft.workflows.run import run


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run(config(tmp_path_factory.mktemp("runs") / "first", select="best"))


def test_a_run_that_fails_before_its_first_epoch_leaves_nothing_in_the_way_of_the_next(tmp_path):
    nowhere = {"kind": "folder", "path": str(tmp_path / "nowhere"), "input": {"kind": "image"}}
    wrong = config(tmp_path / "run", data=nowhere)

    with pytest.raises(DataError, match="does not exist"):
        run(wrong)

    assert not (tmp_path / "run").exists()


def test_ops_are_deterministic_while_a_run_lasts_that_asks_for_it(tmp_path):
    watched = [{"kind": "noted:SeesDeterminism"}]
    results = [
        run(config(tmp_path / name, deterministic=wanted, callbacks=watched))
        for name, wanted in (("plain", False), ("deterministic", True))
    ]

    assert set(SeesDeterminism.seen[:2]) == {False}
    assert set(SeesDeterminism.seen[2:]) == {True}
    assert not is_op_determinism_enabled()
    losses = [result.scores["test"]["loss"] for result in results]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_environment_names_the_gpus_and_what_rounds_there(monkeypatch):
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    details = {"device_name": "NVIDIA A100", "compute_capability": (8, 0)}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda *_: [gpu])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda *_: details)

    found = environment()

    assert found["gpus"] == ["NVIDIA A100 (compute capability 8.0)"]
    assert found["arithmetic"] == "GPU with TF32"
    assert {"driver", "cuda", "cudnn"} <= found.keys()


def test_without_a_gpu_the_environment_says_nothing_of_one():
    assert not {"gpus", "driver", "cuda", "cudnn", "arithmetic"} & environment().keys()


def test_a_run_leaves_every_file_that_people_and_scripts_read(result):
    there = {str(path.relative_to(result.directory)) for path in result.directory.rglob("*")}

    assert {
        "config.json",
        "environment.json",
        "target.json",
        "split.csv",
        "metrics.jsonl",
        "checkpoints/best.weights.h5",
        "scores.json",
        "predictions.csv",
        "figures/learning_curves.png",
        "figures/confusion_matrix.png",
        "tensorboard/train",
        "export/saved_model/saved_model.pb",
    } <= there
    assert "skipped.csv" not in there


def test_scores_hold_both_splits_and_both_phases(result):
    scores = json.loads((result.directory / "scores.json").read_text())

    assert scores == json.loads(json.dumps(result.scores))
    assert scores["test"]["size"] == 9
    assert [phase["name"] for phase in scores["phases"]] == ["head", "tune"]
    assert scores["phases"][0]["features_kept"]
    assert "528 bytes in memory, and on disk for the next run" in scores["phases"][0]["features"]
    assert not scores["phases"][1]["features_kept"]
    assert "trains from its first layer on" in scores["phases"][1]["features"]
    best = max(
        scores["phases"], key=lambda phase: (phase["best"]["accuracy"], -phase["best"]["loss"])
    )
    assert scores["validation"]["accuracy"] == pytest.approx(best["best"]["accuracy"])
    assert scores["validation"]["loss"] == pytest.approx(best["best"]["loss"], abs=1e-5)


def test_scores_say_what_was_selected_and_what_fine_tuning_gained(result):
    scores, (head, tune) = result.scores, result.phases

    assert scores["selected"] == {
        "select": "best",
        "monitor": "accuracy",
        "phase": tune.name,
        "epoch": tune.best["epoch"],
        "alpha": None,
        "start": {"phase": "head", "epoch": head.best["epoch"]},
        "sweep": [],
    }
    gained = scores["validation"]["accuracy"] - head.best["val_accuracy"]
    assert scores["gain"]["validation"]["gain"] == pytest.approx(gained, abs=1e-6)
    assert scores["gain"].keys() >= {"metric", "confidence", "resamples", "test"}


def test_the_summary_says_where_each_phase_began_and_what_became_of_it(result):
    console = Console(file=io.StringIO(), width=100)

    console.print(run_summary(result))

    lines = console.file.getvalue().splitlines()
    head, tune = lines[3].split(), lines[4].split()
    for row, phase in zip((head, tune), result.scores["phases"], strict=True):
        scores = [phase[when]["accuracy"] for when in ("before", "best", "last")]
        assert [row[2], row[4], row[7]] == [f"{100 * score:.1f}" for score in scores]
    assert lines[2].split() == ["phase", "epochs", "before", "best", "at", "epoch", "last", "time"]


def test_the_summary_names_only_what_the_run_has_an_export_for(result, again):
    console = Console(file=io.StringIO(), width=100)

    console.print(run_summary(again))

    shown = console.file.getvalue()
    assert "Predict:" not in shown
    assert "Serv" not in shown
    assert f"Export:   kft export {again.directory}, to predict and to serve" in shown


def test_select_interpolate_is_never_worse_than_either_phase(tmp_path):
    made = run(config(tmp_path / "between", select="interpolate", monitor="loss", exporters=[]))

    sweep, kept = made.scores["selected"]["sweep"], made.scores["validation"]["loss"]
    assert [scores["alpha"] for scores in sweep] == [tenth / 10 for tenth in range(11)]
    assert kept == pytest.approx(min(scores["loss"] for scores in sweep), abs=1e-5)
    assert kept <= min(phase.best["val_loss"] for phase in made.phases) + 1e-5


def test_predictions_and_split_name_every_example(result):
    with (result.directory / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (result.directory / "split.csv").open() as file:
        manifest = list(csv.DictReader(file))

    assert [row["path"] for row in rows] == [f"test/{number}" for number in range(9)]
    assert [row["label"] for row in rows] == ["low", "middle", "high"] * 3
    hits = np.mean([row["label"] == row["prediction"] for row in rows])
    assert hits == pytest.approx(result.scores["test"]["accuracy"])
    assert sum(float(rows[0][name]) for name in ("low", "middle", "high")) == pytest.approx(1, 1e-4)
    assert [row["split"] for row in manifest] == ["train"] * 22 + ["validation"] * 9 + ["test"] * 9


def test_what_is_left_out_stays_in_the_list_that_divides_the_data(tmp_path):
    (tmp_path / "list.txt").write_text("train/3\n")
    data = {"kind": "tiny:Ramp", "exclude": str(tmp_path / "list.txt")}

    run(config(tmp_path / "run", data=data, phases=PHASES[:1], exporters=[]))

    assert "train/3,low,train," in (tmp_path / "run/split.csv").read_text()
    assert "train/3,data.exclude names it" in (tmp_path / "run/skipped.csv").read_text()


@pytest.fixture(scope="module")
def again(result, tmp_path_factory):
    """The same run from its own directory, but without an export."""
    directory = tmp_path_factory.mktemp("runs") / "again"
    overrides = [f"output_dir={directory}", "exporters=[]"]
    return run(load_config(result.directory / "config.json", overrides))


def test_a_run_can_be_repeated_from_its_own_directory(result, again):
    for name in ("test", "validation"):
        assert again.scores[name] == result.scores[name]


def test_an_opened_run_scores_as_it_did(result):
    scores = evaluate_run(result.directory)
    with pytest.raises(ConfigError, match="test_run.py: is a file, expected class folders"):
        evaluate_run(result.directory, __file__)

    assert scores["test"]["loss"] == pytest.approx(result.scores["test"]["loss"], abs=1e-6)
    assert scores["validation"]["accuracy"] == result.scores["validation"]["accuracy"]


def test_the_weights_are_kept_without_the_state_of_an_optimizer(result):
    import h5py

    groups: list[str] = []
    with h5py.File(result.directory / "checkpoints" / "best.weights.h5") as file:
        file.visit(groups.append)

    assert "layers" in groups
    assert not [group for group in groups if "optimizer" in group]


def test_a_run_without_export_can_be_exported_later_and_only_once(again):
    assert again.exports == {}

    path, difference = export_run(again.directory)

    assert tf.saved_model.contains_saved_model(str(path))
    assert difference <= 1e-5
    with pytest.raises(ExportError, match="already exists"):
        export_run(again.directory)


def test_an_export_that_is_there_is_told_before_anything_is_read(tmp_path):
    (tmp_path / "export" / "saved_model").mkdir(parents=True)

    with pytest.raises(ExportError, match="export/saved_model: already exists.*--to"):
        export_run(tmp_path)


def test_a_run_can_be_exported_elsewhere(result, tmp_path):
    path, difference = export_run(result.directory, to=tmp_path / "made" / "here")

    assert path == tmp_path / "made" / "here" / "saved_model"
    assert tf.saved_model.contains_saved_model(str(path))
    assert difference <= 1e-5


def test_a_run_on_another_device_is_exported_as_of_the_cpu_and_says_how_far_apart_they_are(
    tmp_path,
):
    with tf.device(DEVICES[1]):
        result = run(config(tmp_path / "run"))
        _, difference = export_run(result.directory, to=tmp_path / "again")
    console = Console(file=io.StringIO(), width=100)
    console.print(run_summary(result))

    assert 0 <= result.device_difference < 1e-5
    assert [*result.exports.values(), difference] == [pytest.approx(0, abs=1e-5)] * 2
    assert "the GPU's own answers differ by up to" in console.file.getvalue()


def test_an_unknown_export_format_is_refused(result):
    with pytest.raises(ConfigError, match="no exporter kind 'saved_modl'. Did you mean"):
        export_run(result.directory, "saved_modl")


def test_a_directory_that_is_not_empty_is_refused_and_untouched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(ConfigError, match="is not an empty directory"):
        run(config(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


class Unread(Vectors):
    """Has nothing that may be decoded."""

    def decode(self, raw):
        raise AssertionError("an example was read")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"monitor": "acuracy"}, "there is no metric 'acuracy'"),
        ({"phases": PHASES[:1], "select": "interpolate"}, "select: is 'interpolate'"),
        (
            {"phases": [{**PHASES[1], "unfreeze": {"kind": "top", "stages": 9}}]},
            r"phases\[0\].unfreeze.stages: got 9",
        ),
        ({"class_weights": {"hihg": 2}}, "class_weights: .* 'hihg'"),
    ],
    ids=["monitor", "select", "phase", "class weights"],
)
@pytest.mark.parametrize("do", [run, lr_find], ids=["run", "lr-find"])
def test_settings_that_do_not_fit_are_told_before_any_example_is_read(
    tmp_path, do, settings, message
):
    settings = {**settings, "data": {"kind": "tiny:Ramp", "input": Unread()}}

    with pytest.raises(ConfigError, match=message):
        do(config(tmp_path / "run", **settings))


def test_only_the_directory_of_a_run_can_be_opened(tmp_path):
    with pytest.raises(ConfigError, match="not the directory of a run that has been trained"):
        open_run(tmp_path)


class Prices(Ramp):
    """Classes with names that matplotlib, a terminal or JSON may take for something else."""

    def load(self, seed):
        names = ("$5_$10", "$\\frac{$<b>%s{}", '\\x1b[31m,"' + "z" * 10_000)
        return replace(super().load(seed), target=Target("class", names))


def test_class_names_may_hold_any_letters(tmp_path):
    made = run(config(tmp_path / "run", data=Prices(), phases=PHASES[:1]))

    names = Prices().load(0).target.names
    scores = json.loads((made.directory / "scores.json").read_text(encoding="utf-8"))
    assert tuple(scores["test"]["per_class"]) == names
    with (made.directory / "predictions.csv").open(newline="", encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == list(names) * 3
    assert (made.directory / "figures/confusion_matrix.png").is_file()
    (answer, *_) = predict(made.directory, [np.zeros(8, "float32")])
    assert {name.decode() for name in answer.answer["classes"]} == set(names)


def test_a_figure_that_cannot_be_drawn_ends_no_run_and_is_told(tmp_path, monkeypatch):
    def full(figure, path, **settings):
        raise MemoryError

    monkeypatch.setattr(Figure, "savefig", full)

    with pytest.warns(UserWarning, match="is not written: MemoryError") as warned:
        made = run(config(tmp_path / "run", phases=PHASES[:1]))

    assert sum("MemoryError" in str(each.message) for each in warned) == 2
    assert (made.directory / "scores.json").is_file()
    assert [path.name for path in made.exports] == ["saved_model"]


def test_an_export_comes_before_what_is_drawn_for_people(tmp_path, monkeypatch):
    there, savefig = [], Figure.savefig

    def look(figure, path, **settings):
        there.append((tmp_path / "run/export/saved_model/saved_model.pb").is_file())
        savefig(figure, path, **settings)

    monkeypatch.setattr(Figure, "savefig", look)

    run(config(tmp_path / "run", phases=PHASES[:1]))

    assert there == [True, True]


def test_select_last_keeps_the_last_epoch(tmp_path):
    good = {**PHASES[0], "epochs": 5, "optimizer": {"kind": "adam", "learning_rate": 0.05}}
    harm = {**PHASES[1], "optimizer": {"kind": "adamw", "weight_decay": 500.0}}
    settings = {"select": "last", "phases": [good, harm], "exporters": []}

    scores = run(config(tmp_path / "last", **settings)).scores

    head, harmed = scores["phases"]
    assert scores["validation"]["accuracy"] == pytest.approx(harmed["last"]["accuracy"])
    assert scores["validation"]["accuracy"] < head["best"]["accuracy"]


def test_objects_of_ones_own_need_no_config_file(tmp_path):
    from tiny import TinyDense

    from kft.phase import Phase

    made = run(
        RunConfig(
            output_dir=str(tmp_path / "objects"),
            data=Ramp(),
            backbone=TinyDense(),
            phases=(Phase.model_validate(PHASES[0]),),
            exporters=(),
        )
    )

    assert load_config(made.directory / "config.json").data == Ramp()
