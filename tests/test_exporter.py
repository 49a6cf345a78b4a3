import numpy as np
import pytest

from kft.data import Target
from kft.errors import ExportError
from kft.exporter import difference_of, in_clean_process


def modules_and_bytes(path, raw):
    import sys

    return [["kft" in sys.modules, path == "model"], [len(each) for each in raw]]


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


def test_a_function_inside_another_is_sent_without_what_is_around_it():
    around = 1.0

    def alone(path):
        return [0.5]

    def not_alone(path):
        return [around]

    assert in_clean_process(alone, "model") == [0.5]
    with pytest.raises(ExportError, match="name 'around' is not defined"):
        in_clean_process(not_alone, "model")


def test_a_difference_of_values_is_a_share_of_the_largest_of_their_name():
    answers, change = np.array([[2e6, 1e-3], [1e6, -4e-3]]), np.array([[0, 1e-6], [1e3, 0]])

    of_class, of_value, of_nothing = (
        difference_of(served, answers, Target(kind, ("a", "b")))
        for served, kind in [
            (answers + change, "class"),
            (answers + change, "value"),
            (answers * np.nan, "value"),
        ]
    )

    assert of_class == pytest.approx(1e3)
    assert of_value == pytest.approx(5e-4)
    assert np.isnan(of_nothing)
