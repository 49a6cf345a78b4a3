"""Several workers on this machine, and what happens when one of them dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import workers
from click.testing import CliRunner
from distributed import BASE, LONGER

from kft import devices
from kft.cli.main import main
from kft.distribute.launch import gpu_shares, launch, passed_on, run_arguments, tf_configs, wait_for
from kft.errors import ConfigError

DEATH = {"name": "SIGKILL", "worker": 1, "epoch": 2, "step": 1}
# A worker that is missed, the weights written, TensorFlow's own end: far less on a free machine.
SECONDS_TO_STOP = 60


def test_workers_know_one_another_and_themselves():
    configs = [json.loads(config) for config in tf_configs(3)]

    assert len(set(configs[0]["cluster"]["worker"])) == 3
    assert all(config["cluster"] == configs[0]["cluster"] for config in configs)
    assert [config["task"]["index"] for config in configs] == [0, 1, 2]


def test_each_worker_is_the_run_that_was_asked_for():
    assert run_arguments("a.json", ["seed=1"], ["mine"], verbose=False) == [
        *("run", "a.json", "--set", "seed=1", "--trust", "mine"),
        *("--set", "distribute.strategy=multi_worker"),
    ]


@pytest.mark.parametrize(
    ("visible", "workers", "shares"),
    [
        ("0,1,2,3", 2, [("0", "1"), ("2", "3")]),
        ("5,3", 2, [("5",), ("3",)]),
        ("MIG-a,GPU-b,GPU-c", 3, [("MIG-a",), ("GPU-b",), ("GPU-c",)]),
        ("0,1,2", 2, [("0",), ("1",)]),
        ("", 2, [(), ()]),
        ("-1", 3, [(), (), ()]),
    ],
)
def test_workers_share_the_gpus_that_are_visible(visible, workers, shares, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    shown = []

    assert gpu_shares(workers, shown.append) == shares
    assert shown == (["each worker has 1 GPU(s); not used: 2"] if visible == "0,1,2" else [])


def test_more_workers_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")

    with pytest.raises(ConfigError, match="--workers 3: cannot share out 2 GPU"):
        launch(["run", "no-such.json"], 3, print)


def test_gpus_that_the_driver_does_not_list_are_not_taken_for_none(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(devices, "FIRST_GPU", tmp_path)

    with pytest.raises(ConfigError, match="nvidia-smi does not list its GPUs"):
        gpu_shares(2, print)


def test_what_workers_write_is_shown_with_their_number_and_their_failure_is_that_of_all():
    shown = []

    code = launch(["run", "no-such.json"], 2, shown.append)

    assert code == 2
    assert {line.split("] ", 1)[0] for line in shown} == {"[worker 0", "[worker 1"}
    assert any("no-such.json: cannot be read" in line for line in shown)


def test_a_directory_that_is_in_use_is_refused_before_workers_start(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    arguments = ["quickstart", "--set", f"output_dir={tmp_path}", "--workers", "2"]

    result = CliRunner().invoke(main, ["launch", *arguments])

    assert result.exit_code == 2
    assert "is not an empty directory" in result.output
    assert "[worker" not in result.output


def programs(*codes, **options):
    return [subprocess.Popen([sys.executable, "-c", code], **options) for code in codes]


WAITS = "import time; time.sleep(300)"
DEAF = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
{WAITS}
"""


def test_requests_to_end_are_passed_on():
    started, shown = programs(WAITS, WAITS), []

    with passed_on(started):
        os.kill(os.getpid(), signal.SIGTERM)
        code = wait_for(started, shown.append)

    assert code == 128 + signal.SIGTERM
    assert shown == ["[worker 0] ended by SIGTERM", "[worker 1] ended by SIGTERM"]


def test_who_asks_twice_is_obeyed():
    started, shown = programs(DEAF, stdout=subprocess.PIPE), []
    with started[0].stdout as told:
        told.readline()

    with passed_on(started):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        code = wait_for(started, shown.append)

    assert code == 128 + signal.SIGKILL


def test_when_one_fails_the_others_are_ended_after_a_while(monkeypatch):
    monkeypatch.setattr("kft.distribute.launch.GRACE", 0.1)
    started, shown = programs(WAITS, "raise SystemExit(3)"), []

    assert wait_for(started, shown.append) == 3
    assert shown == ["[worker 0] ended by SIGKILL"]


def private_of(tmp_path):
    """Where workers have their private directories."""
    path = tmp_path / "private"
    path.mkdir(exist_ok=True)
    return path


def launched(tmp_path, name, callbacks):
    config = tmp_path / f"{name}.json"
    settings = {"callbacks": callbacks, "output_dir": str(tmp_path / name)}
    config.write_text(json.dumps({**BASE, **LONGER, **settings}))
    trusted = [word for package in ("tiny", "signals") for word in ("--trust", package)]
    path = os.pathsep.join([str(workers.ROOT), str(workers.ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-m", "kft", "launch", "--workers", "2", str(config), *trusted],
        env={
            **os.environ,
            "PYTHONPATH": path,
            "KFT_CACHE": str(tmp_path / "cache"),
            "TMPDIR": str(private_of(tmp_path)),
        },
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def epochs_in(directory: Path):
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


@pytest.mark.slow
def test_when_a_worker_dies_the_others_stop_and_the_run_can_be_started_again(tmp_path):
    with launched(tmp_path, "dies", [{"kind": "signals:SignalsItself", **DEATH}]) as process:
        told = [(time.monotonic(), line) for line in process.stdout]
    last_epoch = max(at for at, line in told if "epoch 2: validation" in line)

    assert process.returncode == 128 + signal.SIGKILL
    text = "".join(line for _, line in told)
    assert "[worker 1] ended by SIGKILL" in text
    assert "[worker 0] Error: worker 1 (127.0.0.1:" in text
    assert "has stopped or cannot be reached" in text
    assert "Traceback" not in text
    assert told[-1][0] - last_epoch < SECONDS_TO_STOP
    assert epochs_in(tmp_path / "dies") == [1, 2]
    assert (tmp_path / "dies" / "checkpoints" / "best.weights.h5").is_file()

    with launched(tmp_path, "again", []) as process:
        text = process.stdout.read()

    assert process.returncode == 0, text
    assert "[worker 0] tune, epoch 4: validation" in text
    assert "[worker 1] tune" not in text
    assert epochs_in(tmp_path / "again") == [1, 2, 3, 4]
    assert (tmp_path / "again" / "scores.json").is_file()
    assert list(private_of(tmp_path).iterdir()) == []


WAITS_AT_EPOCH_3 = {"kind": "signals:Waits", "epoch": 2, "worker": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_to_end", "callbacks", "when"),
    [
        (signal.SIGINT, [], "tune, epoch 2: validation"),
        (signal.SIGTERM, [], "tune, epoch 2: validation"),
        (signal.SIGINT, [WAITS_AT_EPOCH_3], "[worker 1] waits"),
    ],
    ids=["ctrl-c", "sigterm", "ctrl-c while one waits for the other"],
)
def test_who_ends_it_keeps_the_best_weights_and_nothing_else_is_left(
    request_to_end, callbacks, when, tmp_path
):
    with launched(tmp_path, "ended", callbacks) as process:
        told = [next(line for line in process.stdout if when in line)]
        process.send_signal(request_to_end)
        told += process.stdout

    assert process.returncode == 128 + request_to_end, "".join(told)
    assert any("[worker 0] The weights of epoch" in line for line in told)
    again = "Start all workers again to go on, each with:  kft run"
    assert any(again in line for line in told), "".join(told)
    assert (tmp_path / "ended" / "checkpoints" / "best.weights.h5").is_file()
    assert list(private_of(tmp_path).iterdir()) == []
