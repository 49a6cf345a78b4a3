"""What holds for every test."""

import signal

import pytest

# A shell starts what runs in the background with SIGINT ignored, and commands would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
