"""A file is there whole or not at all."""

import pytest

from kft.storage.atomic import replacing, write_text


class Killed(BaseException):
    """Ends a writer as nothing that is caught does."""


def fail(partial):
    partial.write_text("af")
    raise Killed


def test_what_was_there_stays_until_all_is_written(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")

    with replacing(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before"

    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_changes_nothing(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")

    with pytest.raises(Killed), replacing(path) as partial:
        fail(partial)

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path):
    path = tmp_path / "figures"
    for name in ("figures", "partial-figures"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old.png").touch()

    with replacing(path) as partial:
        partial.mkdir()
        (partial / "new.png").touch()

    assert [each.name for each in path.iterdir()] == ["new.png"]
    assert list(tmp_path.iterdir()) == [path]
