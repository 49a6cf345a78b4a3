"""What lies below a folder. The one place where a source lists a disk."""

from __future__ import annotations

import difflib
import os
from collections import deque
from dataclasses import dataclass

from kft.errors import DataError

# What systems and archives leave behind; with the hidden names, no work of the user's.
LITTER = {"__macosx", "thumbs.db", "@eadir", "desktop.ini"}
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")


@dataclass(frozen=True)
class Listing:
    """Paths below a folder, relative to it, with ``/`` between their parts.

    Attributes:
        files: Sorted, whatever order the disk has them in.
        folders: Likewise, down to the last.
        repeats: Links to folders that are listed already, which are not followed.
        broken: What is neither file nor folder, such as links to nothing.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    repeats: tuple[str, ...]
    broken: tuple[str, ...]

    def tops(self) -> list[str]:
        """Returns the folders that lie directly in the listed one."""
        return [folder for folder in self.folders if "/" not in folder]


def list_below(root: str) -> Listing:
    """Returns what lies below `root`, but for hidden files and the litter of systems.

    Links to folders are followed once, after all real folders.

    Raises:
        DataError: `root` or a folder in it cannot be listed.
    """
    require_folder(root)
    found: dict[str, list[str]] = {"file": [], "folder": [], "repeat": [], "broken": []}
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
            sort = sort_of(entry)
            if sort != "folder":
                found[sort].append(path)
            elif entry.is_symlink():
                pending.append(path)
            else:
                pending.appendleft(path)
    found["folder"].remove("")
    return Listing(*(tuple(sorted(paths)) for paths in found.values()))


def entries(root: str, folder: str) -> list[os.DirEntry[str]]:
    """Returns what lies directly in a `folder` of `root`, sorted by name."""
    path = os.path.join(root, folder)  # noqa: PTH118
    try:
        with os.scandir(path) as found:
            kept = [entry for entry in found if not is_litter(entry.name)]
    except OSError as error:
        raise DataError(
            where=f"data.path {root!r}",
            problem=f"its folder {path!r} cannot be listed: {error.strerror}",
            fix="Give your user the right to read it, or move it out of there",
        ) from error
    return sorted(kept, key=lambda entry: entry.name)


def sort_of(entry: os.DirEntry[str]) -> str:
    """Returns ``folder``, ``file`` or ``broken``, following links."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "broken"
    except OSError:  # such as a link to itself
        return "broken"


def is_litter(name: str) -> bool:
    """Says whether a file or folder is hidden or left behind by a system."""
    return name.startswith(".") or name.lower() in LITTER


def require_folder(path: str) -> None:
    """Refuses a `path` that is no folder of this machine."""
    where = f"data.path {path!r}"
    if "://" in path:
        raise DataError(
            where=where,
            problem="is a URL, and only a folder of this machine can be listed",
            fix="Copy the data to a disk, and give the folder",
        )
    if os.path.isfile(path):  # noqa: PTH113
        packed = path.lower().endswith(ARCHIVES)
        raise DataError(
            where=where,
            problem=f"is {'an archive' if packed else 'a file'}, expected a folder",
            fix="Unpack it, and give the folder" if packed else "Give the folder it lies in",
        )
    if not os.path.isdir(path):  # noqa: PTH112
        raise DataError(
            where=where,
            problem=f"does not exist{near_miss(path)}",
            fix="Correct the path; a relative one starts from the working directory",
        )


def near_miss(path: str) -> str:
    """Returns what part of `path` is missing, with names like it that are there."""
    parent, name = os.path.split(path.rstrip("/"))
    while not os.path.isdir(parent):  # noqa: PTH112
        parent, name = os.path.split(parent)
    siblings = {sibling.lower(): sibling for sibling in sorted(os.listdir(parent))}  # noqa: PTH208
    near = difflib.get_close_matches(name.lower(), siblings, n=3)
    found = ", ".join(repr(siblings[sibling]) for sibling in near)
    return f": {parent!r} has no {name!r}" + (f", but {found}" if near else "")
