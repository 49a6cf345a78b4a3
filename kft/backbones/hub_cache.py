"""Finds TF-Hub modules on this machine, and downloads those that are not there.

An entry is found under the name that tensorflow_hub gives it, so modules that it has downloaded
before are used. It knows neither whether an entry is complete nor what should be in it (its
default, a folder in /tmp, is cleaned by the system: tensorflow/hub#896), so kft looks.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kft.backbones.offline import is_offline
from kft.errors import BackboneError
from kft.messages import one_line

KAGGLE = re.compile(r"[\w-]+/[\w.-]+/(?i:tensorflow[12])/[\w.-]+/\d+")
KAGGLE_MODELS = "https://www.kaggle.com/models/"
GRAPH = "saved_model.pb"
INDEX = "variables/variables.index"
SHARD = re.compile(r"variables\.data-(\d{5})-of-(\d{5})")


def address(handle: str) -> str | None:
    """Returns the URL of a handle, or None if it is a path."""
    if KAGGLE.fullmatch(handle):
        return KAGGLE_MODELS + handle
    return handle if "://" in handle else None


def find_module(handle: str, may_download: bool = True) -> Path:
    """Returns the complete directory of a module.

    Raises:
        BackboneError: It is not on this machine, not complete, or cannot be downloaded.
    """
    url = address(handle)
    if url is None:
        return local_module(handle)
    found = next((entry for entry in entries(handle, url) if not missing_files(entry)), None)
    if found is not None:
        return found
    if not may_download or is_offline():
        why = "kft is offline" if is_offline() else "this command downloads nothing"
        raise BackboneError(
            where=f"backbone.handle {handle!r}",
            problem=f"is not complete on this machine, and {why}",
            fix=f"Unpack {url} into {next(entries(handle, url))}, let `kft run` do so where there "
            "is a network, or give a directory",
        )
    return download(url, cache_folder())


def local_module(path: str) -> Path:
    """Returns the directory at `path`, or says what it lacks."""
    missing = missing_files(Path(path))
    if missing:
        raise BackboneError(
            where=f"backbone.handle {path!r}",
            problem=f"is no complete SavedModel: it has no {missing}",
            fix=f"Give a directory that has a {GRAPH}, or the module's https:// address",
        )
    return Path(path)


def missing_files(directory: Path) -> str | None:
    """The first file that a SavedModel in `directory` lacks, or None if it is complete."""
    if not (directory / GRAPH).is_file():
        return GRAPH
    if not (directory / "variables").is_dir():
        return None  # a graph without variables has none
    shards = [SHARD.fullmatch(file.name) for file in (directory / "variables").iterdir()]
    there = {int(shard[1]): int(shard[2]) for shard in shards if shard}
    if not (directory / INDEX).is_file():
        return INDEX
    wanted = range(max(there.values(), default=1))
    return next((f"part {n} of its variables" for n in wanted if n not in there), None)


def entries(handle: str, url: str) -> Iterator[Path]:
    """Yields where a downloaded module may be: this cache first, then that of kagglehub."""
    for spelling in dict.fromkeys((url, handle)):
        yield cache_folder() / hashlib.sha1(spelling.encode()).hexdigest()
    if url.startswith(KAGGLE_MODELS):
        home = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
        yield Path(home, "models", *url.removeprefix(KAGGLE_MODELS).split("/"))


def cache_folder() -> Path:
    """Returns the user's own folder of modules; ``TFHUB_CACHE_DIR`` names another."""
    if os.environ.get("TFHUB_CACHE_DIR"):
        return Path(os.environ["TFHUB_CACHE_DIR"])
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches, "kft", "tf_hub")


def download(url: str, folder: Path) -> Path:
    """Returns a module downloaded into `folder` by tensorflow_hub, in place of a broken entry.

    Raises:
        BackboneError: It cannot be downloaded.
    """
    try:
        import tensorflow_hub
    except ImportError as error:
        raise BackboneError(
            where=f"backbone.handle {url!r}",
            problem=f"cannot be downloaded: tensorflow_hub cannot be imported ({error})",
            fix='`pip install tensorflow-hub "setuptools<82"`, or download the module by hand and '
            "give its directory",
        ) from error
    broken = folder / hashlib.sha1(url.encode()).hexdigest()
    shutil.rmtree(broken, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with cache_is(folder):
            found = Path(tensorflow_hub.resolve(url))
    except Exception as error:  # urllib, tarfile and TensorFlow each have their own
        raise BackboneError(
            where=f"backbone.handle {url!r}",
            problem=f"cannot be downloaded: {one_line(error)}",
            fix="Correct backbone.handle, or download the module by hand and give its directory",
        ) from error
    return local_module(str(found))


@contextmanager
def cache_is(folder: Path) -> Iterator[None]:
    """Makes tensorflow_hub keep modules in `folder`, with TLS checked, while the context lasts."""
    names = ("TFHUB_CACHE_DIR", "TFHUB_MODEL_LOAD_FORMAT", "TFHUB_DISABLE_CERT_VALIDATION")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ["TFHUB_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["TFHUB_CACHE_DIR"]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def checksum(directory: Path) -> str:
    """Returns the SHA-256 of a module: of the name and the content of each of its files."""
    whole = hashlib.sha256()
    files = [directory / GRAPH, *files_in(directory / "variables"), *files_in(directory / "assets")]
    for file in files:
        whole.update(f"{file.relative_to(directory).as_posix()}\n".encode())
        with file.open("rb") as content:
            whole.update(hashlib.file_digest(content, "sha256").digest())
    return whole.hexdigest()


def files_in(folder: Path) -> list[Path]:
    """Returns the files in `folder` by name; none if it is not there."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def check_sum(directory: Path, expected: str | None) -> None:
    """Raises BackboneError unless the module has the `expected` SHA-256; None is any."""
    if expected is None:
        return
    found = checksum(directory)
    if found != expected.lower():
        raise BackboneError(
            where=f"backbone.sha256 {expected!r}",
            problem=f"is not that of the module in {directory}, which has {found}",
            fix="Do not use the module if you expected the other; else set backbone.sha256 to the "
            "digest found",
        )
