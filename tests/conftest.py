"""What holds for every test."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keeps features in a directory of the tests, also those of the processes they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
