import csv
import os
import socket

import pytest

from kft.errors import DataError
from kft.messages import in_words
from kft.storage.files import csv_reader, local_bytes, local_fault, read_text


@pytest.fixture
def odd_files(tmp_path, monkeypatch):
    """What may lie at a path and is no file; names are short, as a socket wants it."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("/dev/zero")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "file").write_bytes(b"content")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("pipe", "Is a pipe, no file"),
        ("socket", "Is a socket, no file"),
        ("/dev/zero", "Is a device, no file"),
        ("link", "Is a device, no file"),
        ("loop", "Too many levels of symbolic links"),
        (".", "Is a directory"),
        ("nothing", "No such file or directory"),
        ("file/inside", "Not a directory"),
        ("large", "Has 1.1 TB, expected up to 1.1 GB"),
        ("a" * 300, "File name too long"),
        ("a\0b", "Its path holds characters that no path has"),
        ("\ud800", "Its path holds characters that no path has"),
    ],
)
@pytest.mark.usefixtures("odd_files")
def test_what_is_no_file_is_not_opened(path, why):
    assert local_fault(path) == why
    with pytest.raises(OSError, match=why):
        local_bytes(path)
    with pytest.raises(DataError, match=why.replace("1.1 GB", "536.9 MB")):
        read_text(path, "data.path")


def test_a_file_is_read(odd_files):
    (odd_files / "empty").touch()

    assert local_bytes(odd_files / "file") == b"content"
    assert local_bytes("empty") == b""
    assert local_fault("file") is None


def test_files_of_the_system_without_a_size_hold_nothing():
    assert local_bytes("/proc/self/status") == b""


def test_a_cell_may_have_any_length():
    csv.field_size_limit(100)

    assert list(csv_reader(["a," + "b" * 200_000])) == [["a", "b" * 200_000]]


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (5_120_000, "5.1 MB"), (7 * 10**12, "7.0 TB")],
)
def test_bytes_are_told_in_words(size, words):
    assert in_words(size) == words
