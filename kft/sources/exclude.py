"""A list of examples to leave out: a name in each line, a tab, and a comment that says why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from unicodedata import normalize

from kft.data import DataSource, Split, Splits, Target
from kft.errors import DataError
from kft.storage.files import read_text

FILE_HEADER = "# Examples to leave out, for data.exclude: a name, a tab, and why.\n"
COMMENT = "\t#"


def listed(reasons: Mapping[str, str]) -> str:
    """Returns the list of examples by name, with the reason of each."""
    return FILE_HEADER + "".join(f"{name}{COMMENT} {why}\n" for name, why in reasons.items())


def read_names(path: str) -> set[str]:
    """Returns the names in the list at `path`.

    Raises:
        DataError: It cannot be read.
    """
    lines = read_text(path, "data.exclude").splitlines()
    names = {line.split(COMMENT)[0].strip() for line in lines if not line.startswith("#")}
    return names - {""}


def load_splits(data: DataSource, seed: int) -> Splits:
    """The splits of `data`, without the examples that its `exclude` names.

    Raises:
        DataError: There is nothing to train on, or the list cannot be read.
    """
    return drop_excluded(data.load(seed), data.exclude)


def drop_excluded(splits: Splits, path: str | None) -> Splits:
    """Returns `splits` without the examples that the list at `path` names, if there is one.

    The others stay in their split. What the list names and the data does not have is a note.

    Raises:
        DataError: The list cannot be read, or leaves a split or a trained class without examples.
    """
    if path is None:
        return splits
    names = as_here(read_names(path), splits)
    kept = {
        part: split.take([at for at in range(split.size) if not is_named(split, at, names)])
        for part, split in splits.by_name().items()
    }
    empty = [part for part, split in kept.items() if not split.size]
    gone = lost_classes(splits.target, splits.train, kept["train"])
    if empty or gone:
        raise DataError(
            where=f"data.exclude {path!r}",
            problem="leaves no example "
            + (f"in {empty[0]}" if empty else f"of {gone[0]!r} to train on"),
            fix="Remove some names from this list",
        )
    count = sum(splits.sizes.values()) - sum(split.size for split in kept.values())
    notes = [f"{count} examples are left out, as data.exclude says"]
    unknown = len(names) - count
    if unknown:
        notes.append(f"data.exclude names {unknown} examples that the data does not have")
    return splits.with_splits(kept, (*splits.notes, *notes))


def as_here(names: Iterable[str], splits: Splits) -> set[str]:
    """Returns `names` in the Unicode form that `splits` have them in, where they do."""
    parts = splits.by_name().values()
    there = {name for split in parts for name in (*split.names, *(split.files or ()))}
    forms = {normalize("NFC", name): name for name in there}
    return {name if name in there else forms.get(normalize("NFC", name), name) for name in names}


def is_named(split: Split, at: int, names: set[str]) -> bool:
    """Says whether `names` has the example at a place, by its name or the path of its file."""
    return split.names[at] in names or bool(split.files and split.files[at] in names)


def left_out(whole: Splits, found: Splits) -> dict[str, str]:
    """Returns the names of the examples that `found` lacks of `whole`, with the reason."""
    kept = {name for split in found.by_name().values() for name in split.names}
    named = (name for split in whole.by_name().values() for name in split.names)
    return {name: "data.exclude names it" for name in named if name not in kept}


def lost_classes(target: Target, before: Split, after: Split) -> list[str]:
    """Returns the classes that have examples `before` and none `after`."""
    if target.kind != "class":
        return []
    lost = {*before.labels.tolist()} - {*after.labels.tolist()}
    return [target.names[number] for number in sorted(lost)]
