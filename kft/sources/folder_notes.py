"""What a person should know of how a folder was read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence

from kft.sources.layout import Layout, quoted
from kft.sources.listing import Listing


def listing_notes(listing: Listing, layout: Layout, readable: Sequence[str]) -> Iterator[str]:
    """Yields a note for each sort of file or folder that gave no example."""
    read = set(readable)
    if others := [path for path in listing.files if path not in read]:
        yield f"passed over {files(others)} with other endings: {count_endings(others)}"
    if loose := [path for path in readable if layout.example(path) is None]:
        yield f"passed over {files(loose)} in no class folder: {quoted(loose, 3)}"
    full = {"/".join(path.split("/")[: layout.depth]) for path in readable}
    if empty := [folder for folder in layout.classes_at(listing.folders) if folder not in full]:
        yield f"no class for folders without a file to read: {quoted(empty)}"
    unread = {
        "hidden folders": listing.hidden,
        "links to folders that are read already": listing.repeats,
        "what is neither file nor folder": listing.broken,
    }
    yield from (
        f"passed over {what}: {quoted(paths, 3)}" for what, paths in unread.items() if paths
    )


def files(paths: Sequence[str]) -> str:
    """Returns how many files `paths` are, in words."""
    return f"{len(paths)} file{'s' if len(paths) > 1 else ''}"


def count_endings(paths: Sequence[str]) -> str:
    """Returns such as ``.txt 2, .zip 1``, the most frequent first."""
    counts = Counter(os.path.splitext(path.lower())[1] or "no ending" for path in paths)  # noqa: PTH122
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(ranked) - 10} other endings" if len(ranked) > 10 else ""
    return ", ".join(f"{ending} {count}" for ending, count in ranked[:10]) + more
