"""Notes on how a folder was read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from kft.input import Input
from kft.messages import counted, natural, quoted
from kft.sources.folders.layout import Layout, inner_folders
from kft.sources.folders.listing import Listing
from kft.sources.splitting.split_names import usual_split


def listing_notes(
    listing: Listing, layout: Layout, readable: Sequence[str], names: Mapping[str, str] | None
) -> Iterator[str]:
    """Yields a note for each sort of file or folder that gave no example.

    Also for folders that may be splits, unless `names`, those of the config, say what is one.
    """
    read = set(readable)
    if others := [path for path in listing.files if path not in read]:
        count = counted(len(others), "file")
        yield f"passed over {count} with other endings: {count_endings(others)}"
    inner = inner_folders(listing.tops(), readable)
    unnamed = unnamed_splits(inner, layout)
    if loose := [
        path
        for path in readable
        if layout.example(path) is None and path.split("/")[0] not in unnamed
    ]:
        yield f"passed over {counted(len(loose), 'file')} in no class folder: {quoted(loose, 3)}"
    if not layout.splits and names is None:
        yield from same_folders(readable)
    if unnamed:
        yield (
            f"passed over {quoted(unnamed)}, in which the same folders lie as in the splits: "
            "data.split.names can say what is which split"
        )
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


def converted_notes(files: Sequence[str], input: Input) -> Iterator[str]:
    """Yields a note if some of `files` are of a form that a server does not take."""
    found = [file for file in files if file.lower().endswith(input.converted_endings)]
    if found:
        yield (
            f"{len(found)} of {input.counted(len(files))} ({count_endings(found)}) are converted "
            f"as kft reads them; the exported model, such as on a server, takes only "
            f"{', '.join(input.file_endings)}"
        )


def unnamed_splits(inner: Mapping[str, set[str]], layout: Layout) -> list[str]:
    """Returns the folders that hold classes as the splits do, but have another name."""
    classes = set().union(*(inner[split] for split in layout.splits))
    return [top for top in inner if top not in layout.splits and inner[top] & classes]


def same_folders(readable: Sequence[str]) -> Iterator[str]:
    """Yields a note if the folders of all classes hold the same ones, which may be the classes.

    A single one in each, such as ``images``, says nothing.
    """
    tops = sorted({path.split("/")[0] for path in readable if "/" in path}, key=natural)
    inner = inner_folders(tops, readable)
    same = sorted(set.intersection(*inner.values()) if len(tops) > 1 else (), key=natural)
    if len(same) > 1 and all(map(usual_split, same)):
        yield (
            f"all classes hold the folders {quoted(same)}, which are not taken for splits: they "
            "would have to lie above the classes"
        )
    elif len(same) > 1:
        yield (
            f"all classes, {quoted(tops, 5)}, hold the same folders {quoted(same, 5)}. If those "
            "are the classes, say in data.split.names which split each of the others is"
        )


def count_endings(paths: Sequence[str]) -> str:
    """Returns such as ``.txt 2, .zip 1``, the most frequent first."""
    counts = Counter(os.path.splitext(path.lower())[1] or "no ending" for path in paths)  # noqa: PTH122
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(ranked) - 10} other endings" if len(ranked) > 10 else ""
    return ", ".join(f"{ending} {count}" for ending, count in ranked[:10]) + more
