"""What holds for every test."""

import os


def test_tests_and_the_processes_they_start_see_no_gpu():
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
