import numpy as np
import pytest
from exported import task_of

from kft.errors import ExportError
from kft.exporter import Exporter, in_clean_process
from kft.scoring.evaluate import Answers


def modules_and_bytes(path, raw):
    import sys

    return [["kft" in sys.modules, path == "model"], [len(each) for each in raw]]


def gpus_hidden(path):
    import os

    return [os.environ[name] for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")]


def killed(path):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


class OneNumber(Exporter):
    """Writes a number, and asks it of a process that is killed the first time."""

    @property
    def output(self):
        return "number.txt"

    def write(self, task, path):
        path.write_text("0.5")

    def ask(self, path, task, raw):
        if not (path.parent.parent / "asked").exists():
            (path.parent.parent / "asked").touch()
            return in_clean_process(killed, path)
        return np.full((len(raw), 3), path.read_text(), "float32")


def broken(path):
    raise ValueError("the file is of a format from tomorrow")


def test_a_clean_process_has_no_kft_and_gets_its_arguments_whole():
    raw = np.array([b"ends in nought\0", b""], object)

    answer = in_clean_process(modules_and_bytes, "model", raw)

    assert answer.dtype == np.float32
    assert answer.tolist() == [[0, 1], [15, 0]]


def test_a_clean_process_that_fails_says_why():
    with pytest.raises(ExportError, match="(?s)a clean process cannot.*a format from tomorrow"):
        in_clean_process(broken, "model")


def test_a_clean_process_sees_no_gpu_whatever_the_run_sees(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")

    assert in_clean_process(gpus_hidden, "model").tolist() == [-1, -1]


def test_a_clean_process_that_is_killed_leaves_one_message_and_nothing_in_the_way(tmp_path):
    task, found = task_of("vectors")
    answers = Answers(found.test, np.full((found.test.size, 3), 0.5, "float32"), np.zeros(9), {})

    with pytest.raises(ExportError, match=r"number.txt: .* was ended by SIGKILL. Free memory"):
        OneNumber().export(task, answers, tmp_path)
    left = [path.name for path in tmp_path.iterdir()]
    path, difference = OneNumber().export(task, answers, tmp_path)

    assert left == ["asked"]
    assert path.read_text() == "0.5"
    assert difference == 0


def test_a_function_inside_another_is_sent_without_what_is_around_it():
    around = 1.0

    def alone(path):
        return [0.5]

    def not_alone(path):
        return [around]

    assert in_clean_process(alone, "model") == [0.5]
    with pytest.raises(ExportError, match="name 'around' is not defined"):
        in_clean_process(not_alone, "model")
