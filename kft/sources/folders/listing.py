"""Lists the files below a folder. The one place where a source lists a disk."""

from __future__ import annotations

import difflib
import os
from collections import defaultdict, deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kft.errors import DataError
from kft.messages import canonical
from kft.storage.files import is_remote, join, local_fault, reason, require_reader

# What systems and archives leave behind; with the hidden names, no work of the user's.
LITTER = {"__macosx", "thumbs.db", "@eadir", "desktop.ini"}
# Each question to a store goes over the network.
QUESTIONS_AT_ONCE = 32
# To look for names like another takes time: among more, only one of another case is found.
COMPARED = 10_000
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Listing:
    """Paths below a folder, relative to it, with ``/`` between their parts.

    Attributes:
        files: Sorted, whatever order and Unicode form the disk has them in.
        folders: Likewise, down to the last.
        repeats: Links to folders that are listed already, which are not followed.
        broken: What is neither file nor folder, such as links to nothing.
        hidden: Folders that are not listed, since their names begin with a dot.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    repeats: tuple[str, ...]
    broken: tuple[str, ...]
    hidden: tuple[str, ...]

    def tops(self) -> list[str]:
        """Returns the folders that lie directly in the listed one."""
        return [folder for folder in self.folders if "/" not in folder]


def list_below(root: str) -> Listing:
    """The files and folders below `root`, but for hidden ones and files of the system.

    Links to folders are followed once, after all real folders.

    Raises:
        DataError: `root` or a folder in it cannot be listed.
    """
    return list_remote(root) if is_remote(root) else list_local(root)


def list_local(root: str) -> Listing:
    """As `list_below`, for a folder of this machine."""
    require_folder(root)
    found: defaultdict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    pending = deque([""])
    while pending:
        folder = pending.popleft()
        real = os.path.realpath(os.path.join(root, folder))  # noqa: PTH118
        found["repeat" if real in seen else "folder"].append(folder)
        if real in seen:
            continue
        seen.add(real)
        for entry in entries(root, folder):
            path = f"{folder}/{entry.name}".lstrip("/")
            sort = sort_here(entry)
            if sort != "folder":
                found[sort].append(path)
            elif entry.is_symlink():
                pending.append(path)
            else:
                pending.appendleft(path)
    found["folder"].remove("")
    return listing_of(found)


def list_remote(root: str) -> Listing:
    """As `list_below`, for a `root` that is a URL, where there are no links."""
    import tensorflow as tf

    def is_folder(name: str) -> bool:
        return name.endswith("/") or bool(tf.io.gfile.isdir(join(root, name)))

    require_remote_folder(root)
    found: defaultdict[str, list[str]] = defaultdict(list)
    pending = [""]
    with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as pool:
        while pending:
            folder = pending.pop()
            names = [f"{folder}/{name}".lstrip("/") for name in remote_entries(root, folder)]
            for name, inner in zip(names, pool.map(is_folder, names), strict=True):
                path = name.rstrip("/")
                sort = sort_of(path.rpartition("/")[2], inner)
                found[sort].append(path)
                pending.extend([path] if sort == "folder" else [])
    return listing_of(found)


def listing_of(found: Mapping[str, list[str]]) -> Listing:
    """Returns the paths that were `found`, by their sort, without the litter."""
    sorts = ("file", "folder", "repeat", "broken", "hidden")
    return Listing(*(tuple(sorted(sorted(found.get(sort, ())), key=canonical)) for sort in sorts))


def sort_of(name: str, is_folder: bool) -> str:
    """Returns ``folder``, ``file``, ``hidden`` for a hidden folder, or ``litter``."""
    if name.lower() in LITTER:
        return "litter"
    if name.startswith("."):
        return "hidden" if is_folder else "litter"
    return "folder" if is_folder else "file"


def remote_entries(root: str, folder: str) -> list[str]:
    """The entries directly in a `folder` of a `root` that is a URL."""
    import tensorflow as tf

    path = join(root, folder)
    try:
        names = tf.io.gfile.listdir(path)
    except tf.errors.OpError as error:
        raise DataError(
            where=f"data.path {root!r}",
            problem=f"its folder {path!r} cannot be listed: {reason(error)}",
            fix="Give the account that runs kft permission to list it",
        ) from error
    return [name for name in names if name.strip("/")]


def require_remote_folder(path: str) -> None:
    """Refuses a `path` that is no folder of the store that its URL names."""
    import tensorflow as tf

    where = f"data.path {path!r}"
    require_reader(path, "data.path")
    try:
        found = tf.io.gfile.stat(path)
    except tf.errors.NotFoundError as error:
        raise DataError(where, "does not exist", "Correct the URL in data.path") from error
    except tf.errors.OpError as error:
        fix = "Check the network connection, and your permission to read this URL"
        raise DataError(where, f"cannot be read: {reason(error)}", fix) from error
    if not found.is_directory:
        raise DataError(where, "is a file, expected a folder", "Give the folder it lies in")


def entries(root: str, folder: str) -> list[os.DirEntry[str]]:
    """The entries directly in a `folder` of `root`, sorted by name."""
    path = os.path.join(root, folder)  # noqa: PTH118
    try:
        with os.scandir(path) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            where=f"data.path {root!r}",
            problem=f"its folder {path!r} cannot be listed: {error.strerror}",
            fix="Make the folder readable (chmod u+rx), or move it out of data.path",
        ) from error


def sort_here(entry: os.DirEntry[str]) -> str:
    """Returns the sort of what is on this machine, ``broken`` too; follows links."""
    try:
        is_folder = entry.is_dir()
        is_there = is_folder or entry.is_file()
    except OSError:  # such as a link to itself
        is_folder = is_there = False
    sort = sort_of(entry.name, is_folder)
    return sort if is_there or sort == "litter" else "broken"


def require_folder(path: str) -> None:
    """Refuses a `path` that is no folder of this machine."""
    where = f"data.path {path!r}"
    if os.path.isfile(path):  # noqa: PTH113
        endings: dict[str | tuple[str, ...], tuple[str, str]] = {
            ARCHIVES: ("an archive", "Unpack it, and give the folder"),
            TABLES: ("a table", 'Set data.kind to "table" to read it, or give a folder'),
            ".npz": ("a file of arrays", 'Set data.kind to "arrays" to read it, or give a folder'),
            ".npy": ("one array", "Write it with its labels into an .npz file, by numpy.savez"),
            "": (
                "a file",
                "Give the folder it lies in; of files, a table is .csv or .jsonl, arrays are .npz",
            ),
        }
        what, fix = next(advice for end, advice in endings.items() if path.lower().endswith(end))
        raise DataError(where, f"is {what}, expected a folder", fix)
    if not os.path.isdir(path):  # noqa: PTH112
        raise DataError(
            where=where,
            problem=f"is no folder: {local_fault(path)}"
            if os.path.lexists(path)
            else f"does not exist: {near_miss(path)}",
            fix="Correct the path; a relative one starts from the working directory",
        )


def near_miss(path: str) -> str:
    """The first part of an absolute `path` that is missing, and names like it."""
    if os.path.isdir(path):  # noqa: PTH112
        return f"{path!r} is a folder"
    if os.path.lexists(path):
        return f"{path!r}: {local_fault(path)}"
    parent, name = os.path.split(path.rstrip("/"))
    while not os.path.isdir(parent):  # noqa: PTH112
        parent, name = os.path.split(parent)
    siblings = {sibling.lower(): sibling for sibling in sorted(os.listdir(parent))}  # noqa: PTH208
    likely = siblings if len(siblings) <= COMPARED else {name.lower()} & {*siblings}
    near = difflib.get_close_matches(name.lower(), likely, n=3)
    ended = [sibling for sibling in siblings if sibling.startswith(f"{name.lower()}.")][:3]
    found = ", ".join(repr(siblings[sibling]) for sibling in ended or near)
    but = f", but{' with an ending' if ended else ''} {found}" if found else ""
    return f"{parent!r} has no {name!r}{but}"
