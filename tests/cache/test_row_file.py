import gc
import io
import os

import numpy as np
import pytest

from kft.cache.row_file import DamagedError, RowFile, read_footer, write_file

ROW = np.dtype([("example", "u1", (2, 3)), ("digest", "u1", (16,))])


@pytest.fixture
def written():
    rows = np.zeros(5, ROW)
    rows["example"] = np.arange(30).reshape(5, 2, 3)
    rows["digest"] = 255
    return rows


@pytest.fixture
def path(tmp_path, written):
    with (tmp_path / "rows.npy").open("wb") as file:
        write_file(file, [written[:2], written[2:2], written[2:]], {"kind": "decoded"}, 5)
    return tmp_path / "rows.npy"


def opened(path, row=ROW, size=5):
    with path.open("rb") as file:
        return RowFile(file, row, size)


def test_rows_are_mapped_or_read_one_by_one(path, written):
    rows = opened(path)

    np.testing.assert_array_equal(rows.mapped(), written)
    indices = np.array([4, 0, 4])
    for name in ROW.names:
        np.testing.assert_array_equal(rows.read(indices, name), written[name][indices])
    assert rows.read(np.array([], int), "example").shape == (0, 2, 3)


def test_metadata_comes_back(path):
    with path.open("rb") as file:
        metadata, _ = read_footer(file)

    assert metadata["kind"] == "decoded"


def test_rows_that_were_opened_can_be_read_when_the_file_is_gone(path, written):
    rows = opened(path)

    path.unlink()

    np.testing.assert_array_equal(rows.mapped(), written)
    np.testing.assert_array_equal(rows.read(np.arange(5), "digest"), written["digest"])


def test_a_map_outlives_the_file_that_it_is_of(path, written):
    mapped = opened(path).mapped()
    gc.collect()

    np.testing.assert_array_equal(mapped, written)


def lowest_free():
    """The number of the file that is opened next."""
    number = os.dup(0)
    os.close(number)
    return number


def test_files_are_closed_with_their_rows(path):
    before = lowest_free()

    for _ in range(20):
        opened(path).read(np.arange(5), "digest")
    gc.collect()

    assert lowest_free() < before + 20


@pytest.mark.parametrize(("row", "size"), [(ROW, 6), (np.dtype("u1"), 5)])
def test_other_rows_than_those_asked_for_are_refused(path, row, size):
    with pytest.raises(DamagedError, match=r"it holds \(5,\) rows of"):
        opened(path, row, size)


def test_what_is_no_file_of_rows_is_refused():
    with pytest.raises(DamagedError, match="it is cut off"):
        RowFile(io.BytesIO(b"short"), ROW, 5)
