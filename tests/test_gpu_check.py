"""The script for the first GPU that meets kft, on the CPU: its sections end, and it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_check.py"


def checked(tmp_path, *sections):
    """What the script writes of some sections."""
    written = tmp_path / "check.json"
    options = ("--images", "60", "--size", "32", "--json", str(written))
    chosen = ("--patience", "5", "--only", *sections)
    subprocess.run([sys.executable, str(SCRIPT), *options, *chosen], check=True)
    return json.loads(written.read_text(encoding="utf-8"))


def test_without_a_gpu_its_sections_are_not_tested(tmp_path):
    found = checked(tmp_path, "speed", "loops", "memory", "several")

    assert found["sections"].pop("environment")["outcome"] == "done"
    assert {each["outcome"] for each in found["sections"].values()} == {"not tested"}
    assert {each["verdict"] for each in found["verdicts"].values()} == {"not tested"}


LAUNCHES = """
import signal, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
def end(*_):
    worker.kill()
    worker.wait()
    sys.exit()
signal.signal(signal.SIGTERM, end)
print(worker.pid, flush=True)
while True:
    signal.pause()
"""


def test_workers_in_groups_of_their_own_end_with_a_section_that_hangs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import gpu_check

    code, said = gpu_check.ended([sys.executable, "-c", LAUNCHES], 2)

    assert code is None
    with pytest.raises(ProcessLookupError):
        os.kill(int(said), 0)


SECTION = """
import subprocess, sys
launch = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
launch.wait()
"""
LAUNCHES_WHAT_DOES_NOT_END = """
import signal, subprocess, sys
code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\\nwhile True: pass"
worker = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
came = []
def pass_on(number, frame):
    worker.kill() if came else worker.send_signal(number)
    came.append(number)
signal.signal(signal.SIGTERM, pass_on)
print(worker.pid, flush=True)
worker.wait()
"""


def test_a_worker_that_does_not_end_by_itself_is_killed_through_its_launch(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import gpu_check

    command = [sys.executable, "-c", SECTION, LAUNCHES_WHAT_DOES_NOT_END]
    code, said = gpu_check.ended(command, 3)

    assert code is None
    with pytest.raises(ProcessLookupError):
        os.kill(int(said), 0)


def test_what_a_time_limit_left_unmeasured_is_not_called_broken(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import gpu_check

    found = gpu_check.verdicts({"speed": {"outcome": "time limit", "result": {"gpu": True}}})

    assert found["compiling by XLA pays"]["verdict"] == "not measured"


def test_what_speed_finds_out_is_judged(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import gpu_check

    names = (
        "float32",
        "float32 jit",
        "mixed_float16",
        "mixed_bfloat16",
        "augmented",
        "plain Keras",
    )
    found = {name: {"images_per_second": 9.0, "input_wait": 0.1} for name in names}
    found |= {"gpu": True, "process_seconds": 3.0, "estimate": {"estimated": 2.0, "taken": 2.0}}
    found["mixed_bfloat16"]["images_per_second"] = 12.0

    judged = gpu_check.verdicts({"speed": {"outcome": "done", "result": found}})

    assert judged["half precision pays"]["verdict"] == "kept"
    assert judged["compiling by XLA pays"]["verdict"] == "broken"
    assert all(each["because"] != "speed: done" for each in judged.values())


@pytest.mark.slow
def test_what_needs_no_gpu_runs(tmp_path):
    found = checked(tmp_path, "environment", "quickstart", "differences", "placement", "resume")

    assert [each["said"] for each in found["sections"].values()] == [""] * 5
    assert found["verdicts"]["a killed run ends as one that was not"]["verdict"] == "kept"
    assert found["verdicts"]["a run says its device"]["verdict"] == "kept"
    assert {each["verdict"] for each in found["verdicts"].values()} <= {"kept", "not tested"}


def test_a_section_that_hangs_or_fails_is_a_result(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import gpu_check

    hung = gpu_check.ended([sys.executable, "-c", "while True: pass"], 1)
    failed = gpu_check.ended([sys.executable, "-c", "raise SystemExit('no memory')"], 60)

    assert hung == (None, "")
    assert failed == (1, "no memory\n")


def test_the_parent_imports_no_tensorflow():
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import gpu_check; "
    code += "sys.exit('tensorflow' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True)
