from __future__ import annotations

import hashlib
import io
import shutil
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import hub_modules
import pytest
import tensorflow as tf

from kft.backbones.hub_cache import cache_folder, checksum, download, find_module
from kft.backbones.tf_hub import TfHub
from kft.errors import BackboneError

HANDLE = "https://tfhub.dev/maker/module/1"
KAGGLE = "maker/module/tensorFlow2/small/1"


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return Path(hub_modules.save_doubles(tmp_path_factory.mktemp("module")))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, from which nothing can be downloaded."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.setenv("KFT_OFFLINE", "1")
    return tmp_path / "cache"


def entry(cache, address=HANDLE):
    """Where tensorflow_hub keeps the module of an address."""
    return cache / hashlib.sha1(address.encode()).hexdigest()


@pytest.mark.parametrize("address", [HANDLE, f"https://www.kaggle.com/models/{KAGGLE}"])
def test_a_module_that_tensorflow_hub_has_downloaded_is_found(module, cache, address, monkeypatch):
    shutil.copytree(module, entry(cache, address))
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)  # importing it would fail

    handle = address.removeprefix("https://www.kaggle.com/models/")

    assert find_module(handle) == entry(cache, address)
    assert TfHub(handle=handle).load(tf.TensorSpec((8,))).name == handle


def test_a_module_that_kagglehub_has_downloaded_is_found(module, tmp_path):
    there = tmp_path / "kagglehub" / "models" / KAGGLE
    shutil.copytree(module, there)

    assert find_module(KAGGLE) == there


def test_the_cache_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert cache_folder() == tmp_path / "kft" / "tf_hub"


@pytest.mark.parametrize(
    ("lost", "missing"),
    [
        ("saved_model.pb", "no saved_model.pb"),
        ("variables/variables.index", "no variables/variables.index"),
        ("variables/variables.data-00000-of-00001", "no part 0 of its variables"),
    ],
)
def test_a_directory_that_lost_a_file_says_which(module, tmp_path, lost, missing):
    shutil.copytree(module, tmp_path / "module")
    (tmp_path / "module" / lost).unlink()

    with pytest.raises(BackboneError, match=missing):
        find_module(str(tmp_path / "module"))


@pytest.mark.parametrize("half", [False, True], ids=["nothing", "half"])
def test_offline_a_module_that_is_not_complete_is_refused(module, cache, half):
    if half:
        shutil.copytree(module, entry(cache))
        shutil.rmtree(entry(cache) / "variables")
        (entry(cache) / "variables").mkdir()

    with pytest.raises(BackboneError, match="not complete on this machine, and kft is offline"):
        find_module(HANDLE)


def test_a_plan_downloads_nothing(monkeypatch):
    monkeypatch.delenv("KFT_OFFLINE")

    with pytest.raises(BackboneError, match="this command downloads nothing"):
        TfHub(handle=HANDLE).load(tf.TensorSpec((8,)), pretrained=False)


def test_without_tensorflow_hub_the_message_says_what_to_install(monkeypatch, cache):
    monkeypatch.delenv("KFT_OFFLINE")
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)

    with pytest.raises(BackboneError, match="tensorflow_hub cannot be imported.*setuptools<82"):
        find_module(HANDLE)


def test_a_module_is_held_to_its_checksum(module):
    right = checksum(module)

    assert TfHub(handle=str(module), sha256=right).load(tf.TensorSpec((8,))).stages
    with pytest.raises(BackboneError, match=f"is not that of the module in .*, which has {right}"):
        TfHub(handle=str(module), sha256="0" * 64).load(tf.TensorSpec((8,)))


def test_a_checksum_tells_any_change_of_a_file(module, tmp_path):
    shutil.copytree(module, tmp_path / "module")
    before = checksum(tmp_path / "module")
    data = tmp_path / "module" / "variables" / "variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[10] ^= 1

    data.write_bytes(content)

    assert before == checksum(module)
    assert checksum(tmp_path / "module") != before


@pytest.fixture
def server(module):
    """Serves the packed module on this machine, as its address; counts what is asked."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(module, ".")

    class Answers(BaseHTTPRequestHandler):
        asked: list[str] = []

        def do_GET(self):
            self.asked.append(self.path)
            self.send_response(200 if "module" in self.path else 404)
            self.end_headers()
            self.wfile.write(packed.getvalue())

        def log_message(self, *_):
            pass

    served = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}", Answers.asked
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.mark.filterwarnings("ignore")  # tensorflow_hub and tf_keras use what is deprecated
def test_a_broken_entry_is_replaced_by_a_download(server, module, cache):
    address, asked = server
    broken = entry(cache, f"{address}/module")
    broken.mkdir(parents=True)
    (broken / "leftover").touch()

    found = download(f"{address}/module", cache)
    files = {str(path.relative_to(found)) for path in found.rglob("*")}

    assert found == broken
    assert asked == ["/module?tf-hub-format=compressed"]
    assert "leftover" not in files
    assert checksum(found) == checksum(module)
    with pytest.raises(BackboneError, match="cannot be downloaded: HTTP Error 404"):
        download(f"{address}/other", cache)
