"""Which callbacks a config may name, and where they may write."""

import keras
import pytest
from small_configs import SMALL, fault

from kft.config.run_config import load_config
from kft.config.user_callback import UserCallback
from kft.errors import ConfigError
from kft.workflows.run import run


def test_a_callback_of_keras_needs_no_trust_and_gets_its_settings(tmp_path):
    own = {"kind": "keras.callbacks:EarlyStopping", "patience": 3}

    (callback,) = load_config({**SMALL, "callbacks": [own]}, trust=()).callbacks

    assert isinstance(callback.build(tmp_path), keras.callbacks.EarlyStopping)
    assert callback.build(tmp_path) is not callback.build(tmp_path)
    assert callback.build(tmp_path).patience == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "keras.callbacks:Nope"}, "cannot import 'keras.callbacks:Nope'"),
        ({"kind": "keras.utils:get_file"}, "it is no subclass of keras.callbacks.Callback"),
        ({"kind": "keras.layers:Dense", "units": 3}, "it is no subclass of keras"),
        ({"kind": "keras.callbacks:TerminateOnNaN", "speed": 3}, "unexpected keyword.*'speed'"),
        ({"kind": "keras.callbacks:ModelCheckpoint", "filepath": []}, "callbacks"),
        ({"kind": "keras.callbacks:OrbaxCheckpoint", "directory": "x"}, "cannot be made: Orbax"),
    ],
)
def test_what_is_no_callback_is_refused(settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        UserCallback(**settings).build(tmp_path)


def test_a_callback_of_another_package_needs_trust():
    message = fault({**SMALL, "callbacks": [{"kind": "mine:Callback"}]}, trust=())

    assert "callbacks[0]: 'mine:Callback' would run code of the package 'mine'" in message


OUTSIDE = [
    ("CSVLogger", "filename", "/tmp/notes.txt"),
    ("CSVLogger", "filename", "../config.json"),
    ("CSVLogger", "filename", "a/../../notes.txt"),
    ("CSVLogger", "filename", "C:\\\\notes.txt"),
    ("CSVLogger", "filename", "..\\\\notes.txt"),
    ("CSVLogger", "filename", "gs://bucket/notes.txt"),
    ("CSVLogger", "filename", ["notes.txt"]),
    ("ModelCheckpoint", "filepath", "~/model.keras/../../x.keras"),
    ("ModelCheckpoint", "filepath", "{epoch:c}{epoch:c}{epoch:c}x.keras"),
    ("ModelCheckpoint", "filepath", "{epoch.__class__.__doc__}.keras"),
    ("TensorBoard", "log_dir", "/srv/logs"),
    ("OrbaxCheckpoint", "directory", "/srv/checkpoints"),
    ("BackupAndRestore", "backup_dir", "/srv/backup"),
]


@pytest.mark.parametrize(("name", "setting", "path"), OUTSIDE)
def test_a_path_outside_the_run_needs_trust(name, setting, path):
    settings = {**SMALL, "callbacks": [{"kind": f"keras.callbacks:{name}", setting: path}]}

    assert "may lie outside the run. Give a path relative" in fault(settings, trust=())
    assert load_config(settings, trust=("keras",)).callbacks


@pytest.mark.parametrize(
    "kind",
    [
        "keras.callbacks:RemoteMonitor",
        "keras.callbacks:CallbackList",
        "keras.src.callbacks.csv_logger:CSVLogger",
        "keras.utils:get_file",
    ],
)
def test_what_else_keras_has_needs_trust(kind):
    settings = {**SMALL, "callbacks": [{"kind": kind, "filename": "a"}]}

    message = fault(settings, trust=())

    assert "is none of Keras's callbacks that need no trust" in message
    assert "add --trust keras" in message


def test_every_callback_of_keras_is_known_to_be_harmless_or_not():
    from kft.config.user_callback import HARMLESS, WRITERS

    others = {"Callback", "CallbackList", "MonitorCallback", "RemoteMonitor"}
    there = {name for name in dir(keras.callbacks) if name[0].isupper()}

    assert there - {*HARMLESS, *WRITERS} <= others


def test_what_callbacks_write_lies_in_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text("precious")
    logger = {"kind": "keras.callbacks:CSVLogger", "filename": "logs/log.csv", "append": True}
    checkpoint = {"kind": "keras.callbacks:ModelCheckpoint", "filepath": "{epoch:02d}.keras"}
    settings = {
        "data": {"kind": "tiny:Ramp"},
        "backbone": {"kind": "tiny:TinyDense"},
        "phases": [
            {
                "name": "head",
                "epochs": 2,
                "optimizer": {"kind": "sgd"},
                "unfreeze": {"kind": "none"},
            }
        ],
        "output_dir": str(tmp_path / "run"),
        "callbacks": [logger, checkpoint, {"kind": "keras.callbacks:TensorBoard"}],
        "exporters": [],
    }

    run(load_config(settings, trust=("tiny",)))

    written = tmp_path / "run/callbacks"
    assert sorted(path.name for path in written.iterdir()) == ["01.keras", "02.keras", "logs"]
    assert (written / "logs/log.csv").read_text().startswith("epoch,")
    assert any((written / "logs").rglob("*tfevents*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "run"]


def test_a_trusted_path_is_taken_as_it_is(tmp_path):
    callback = UserCallback(kind="keras.callbacks:CSVLogger", filename=str(tmp_path / "log.csv"))

    assert callback.build(tmp_path / "run").filename == str(tmp_path / "log.csv")


@pytest.mark.parametrize(
    ("kind", "settings", "fix"),
    [
        ("keras.callbacks:ReduceLROnPlateau", {}, "Set the 'schedule' of a phase"),
        ("keras.callbacks:LearningRateScheduler", {"schedule": abs}, "Set the 'schedule'"),
        ("keras.callbacks:BackupAndRestore", {"backup_dir": "there"}, "Leave it out"),
        ("keras.callbacks:SwapEMAWeights", {}, "Leave it out"),
        ("kft.callbacks:UnfreezeBackbone", {"layers": "x", "at_epoch": 1}, "Set the 'unfreeze' of"),
        ("kft.callbacks:FreezeBatchNorm", {}, "is 'frozen' unless"),
        ("kft.callbacks:DivergenceGuard", {}, "Leave it out: the engine"),
    ],
)
def test_what_would_change_the_training_is_refused_before_a_run(kind, settings, fix, tmp_path):
    callback = UserCallback(kind=kind, **settings)

    with pytest.raises(ConfigError, match=f"changes what the phases of a run decide. .*{fix}"):
        callback.build(tmp_path)


def test_what_only_watches_is_taken(tmp_path):
    drift = UserCallback(kind="kft.callbacks:DriftMonitor", groups={"backbone": "backbone"})

    assert type(drift.build(tmp_path)).__name__ == "DriftMonitor"
