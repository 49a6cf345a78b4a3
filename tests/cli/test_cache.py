import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kft.cache.store import directory, path_of, write
from kft.cli.main import main

pytestmark = pytest.mark.usefixtures("own_cache")

KEY = "b" * 40


@pytest.fixture
def kept():
    metadata = {"backbone": "VGG16", "examples": 2, "shapes": [[7, 7, 512]], "view": {"epoch": 3}}
    write(KEY, [np.zeros(2, [("0", "f2", (7, 7, 512))])], metadata, 2)


def kft(*words):
    return CliRunner().invoke(main, ["cache", *words])


def test_list_says_what_is_kept_how_large_it_is_and_when_it_was_used(kept):
    result = kft("list")

    assert result.exit_code == 0
    row = result.stdout.splitlines()[1].split()
    assert row[:6] == ["VGG16", "2", "7x7x512", "3", "100.6", "kB"]


def test_list_as_json_has_the_path_and_all_that_was_said(kept):
    (entry,) = json.loads(kft("list", "--json").stdout)

    assert entry["path"] == str(path_of(KEY))
    assert (entry["backbone"], entry["examples"], entry["shapes"]) == ("VGG16", 2, [[7, 7, 512]])
    assert entry["bytes"] == path_of(KEY).stat().st_size
    assert entry["used"] > 0


def test_clear_removes_all_and_says_so(kept):
    result = kft("clear")

    assert result.stdout.startswith("Removed 1 set, 100.6 kB, from ")
    assert not list(directory().iterdir())
    assert kft("list").stdout == f"Nothing is kept in {directory()}\n"
    assert json.loads(kft("list", "--json").stdout) == []


def test_clear_says_what_it_could_not_remove(kept, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", denied)

    result = kft("clear")

    assert result.exit_code == 1
    assert result.stdout.startswith("Removed 0 sets, 0 bytes, from ")
    assert "features: 1 of 1 cannot be removed. Run it as a user" in result.stderr
    assert path_of(KEY).exists()
