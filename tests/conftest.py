"""What holds for every test."""

import os
import signal

import pytest

# A shell starts what runs in the background with SIGINT ignored, and commands would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--gpu", action="store_true", help="run the tests marked gpu, on a GPU")


def pytest_configure(config):
    """Hides GPUs, whose memory two processes of tests would fight over, from all but --gpu."""
    if not config.getoption("--gpu"):
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def pytest_collection_modifyitems(config, items):
    """Leaves out the tests that need a GPU, or with --gpu all others."""
    wanted = config.getoption("--gpu")
    left_out = [item for item in items if ("gpu" in item.keywords) is not wanted]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keeps features in a directory of the tests, also those of the processes they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Keeps features in a directory of the test alone."""
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))
