import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from kft.cache import store
from kft.cache.store import DamagedError, clear, directory, entries, path_of, read, write

pytestmark = pytest.mark.usefixtures("own_cache")

KEY = "0123456789" * 4
ROW = np.dtype([("0", "f4", (3,)), ("1", "f2", (2, 2))])


def rows_of(size, seed=0):
    rows = np.zeros(size, ROW)
    rows["0"] = np.random.default_rng(seed).normal(size=(size, 3))
    rows["1"] = seed
    return rows


def put(key=KEY, size=5, seed=0):
    rows = rows_of(size, seed)
    write(key, [rows[:2], rows[2:]], {"backbone": "tiny"}, size)
    return rows


def test_rows_come_back_as_they_were_written_and_stay_on_disk():
    written = put()

    np.testing.assert_array_equal(read(KEY, ROW, 5).mapped(), written)
    np.testing.assert_array_equal(np.load(path_of(KEY)), written)
    assert [path.name for path in directory().iterdir()] == [f"{KEY}.npy"]


def test_bfloat16_which_numpy_does_not_know_comes_back_too():
    import ml_dtypes

    row = np.dtype([("0", ml_dtypes.bfloat16, (4,))])
    written = np.ones(3, row)
    write(KEY, [written], {}, 3)

    found = read(KEY, row, 3).mapped()

    assert found.dtype == row
    np.testing.assert_array_equal(found["0"].astype("float32"), np.ones((3, 4)))


def test_what_is_not_there_is_none():
    assert read(KEY, ROW, 5) is None
    assert entries() == []
    assert clear() == []


def spoil(how):
    path = path_of(KEY)
    data = path.read_bytes()
    if how == "torn":
        path.write_bytes(data[:-10])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "bit":
        middle = np.load(path, mmap_mode="r").offset + 7
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    elif how == "foreign":
        path.write_bytes(b"not an array" + data[-200:])


@pytest.mark.parametrize("how", ["torn", "empty", "bit", "foreign"])
def test_a_damaged_file_is_refused_and_can_be_written_anew(how):
    put()
    spoil(how)

    with pytest.raises(DamagedError):
        read(KEY, ROW, 5)

    written = put()
    np.testing.assert_array_equal(read(KEY, ROW, 5).mapped(), written)


def test_wherever_a_byte_is_changed_rows_are_refused_or_as_they_were():
    written = put()
    data = path_of(KEY).read_bytes()
    footer = np.load(path_of(KEY), mmap_mode="r").offset + written.nbytes

    for place in range(len(data)):
        changed = data[place] ^ 32  # turns a bracket of the header into a letter
        path_of(KEY).write_bytes(data[:place] + bytes([changed]) + data[place + 1 :])

        try:
            found = read(KEY, ROW, 5).mapped()
        except DamagedError:
            continue

        np.testing.assert_array_equal(found, written)
        assert place >= footer, "a change of the array or its header went by"


def test_rows_of_another_number_or_kind_are_refused():
    put()

    with pytest.raises(DamagedError, match=r"holds \(5,\) rows"):
        read(KEY, ROW, 6)
    with pytest.raises(DamagedError, match="rows of"):
        read(KEY, np.dtype([("0", "f4", (4,))]), 5)


def test_two_that_write_the_same_at_once_never_show_half_of_it():
    def write_and_read(number):
        put(size=2000)
        return read(KEY, ROW, 2000).mapped()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(write_and_read, range(12)))

    for rows in found:
        np.testing.assert_array_equal(rows, rows_of(2000))
    assert len(list(directory().iterdir())) == 1


def test_rows_in_use_can_be_read_on_when_they_are_removed_or_replaced():
    written = put()
    found = read(KEY, ROW, 5)

    put(seed=1)
    clear()

    np.testing.assert_array_equal(found.mapped(), written)
    np.testing.assert_array_equal(found.read(np.arange(5), "0"), written["0"])


def test_what_fails_while_it_is_written_leaves_nothing_behind():
    def blocks():
        yield rows_of(2)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write(KEY, blocks(), {}, 5)

    assert list(directory().iterdir()) == []


def test_the_least_recently_used_goes_first(monkeypatch):
    for number, key in enumerate(("1" * 40, "2" * 40, "3" * 40)):
        put(key)
        os.utime(path_of(key), (number, number))
    read("1" * 40, ROW, 5)  # used again
    size = entries()[0].size
    monkeypatch.setattr(store, "LIMIT", 3 * size)

    store.make_room(size)

    assert {entry.path.stem[0] for entry in entries()} == {"1", "3"}


def test_sets_are_pushed_out_where_the_disk_is_full(monkeypatch):
    put()
    monkeypatch.setattr(store, "free_bytes", lambda: store.MARGIN - 1)

    assert store.room() == entries()[0].size - 1
    store.make_room(1)

    assert entries() == []


def test_only_what_kft_wrote_is_removed():
    put()
    spared = [directory() / "notes.npy", directory() / "notes.part", directory().parent / "x.npy"]
    for path in spared:
        path.write_bytes(b"mine")
    unfinished = directory() / f"{KEY}.abc_1.part"
    unfinished.write_bytes(b"half")

    removed = clear()

    assert [entry.metadata["backbone"] for entry in removed] == ["tiny"]
    assert not unfinished.exists()
    assert all(path.exists() for path in spared)


def test_what_another_run_is_writing_stays_for_a_day():
    put()
    young, old = (directory() / f"{KEY}.{name}.part" for name in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)

    store.make_room(1)

    assert young.exists()
    assert not old.exists()


def test_a_damaged_file_is_listed_as_such():
    put()
    spoil("torn")

    (entry,) = entries()

    assert entry.metadata == {}


@contextmanager
def barred(folder):
    """Lets nobody look into a folder, not even root."""
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


def test_where_nobody_may_look_nothing_is_kept_and_no_run_ends(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("KFT_CACHE", str(home / "cache"))

    with barred(home):
        assert store.room() > 0
        with pytest.raises(DamagedError, match="it cannot be read: Permission denied$"):
            read(KEY, ROW, 5)
        with pytest.raises(PermissionError):
            put()


def test_what_is_below_a_file_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "file"))

    assert read(KEY, ROW, 5) is None
    assert entries() == []


def test_features_of_private_data_are_for_their_owner_alone():
    put()

    assert directory().stat().st_mode & 0o077 == 0


def test_without_a_setting_they_are_below_the_home(monkeypatch, tmp_path):
    monkeypatch.delenv("KFT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert directory() == tmp_path / ".cache" / "kft" / "features"
