"""What the tests of the engine train."""

import pytest
from tiny import Ramp, tiny_task

from kft.storage.run_files import ARRAYS


@pytest.fixture
def splits():
    return Ramp().load(0)


@pytest.fixture
def task(splits):
    return tiny_task(splits)


@pytest.fixture
def directory(tmp_path):
    (tmp_path / ARRAYS).mkdir()
    return tmp_path
