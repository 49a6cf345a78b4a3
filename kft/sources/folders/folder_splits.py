"""Checks the split folders of a data folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kft.errors import DataError
from kft.messages import quoted
from kft.sources.folders.layout import Layout
from kft.sources.splitting.split_names import SplitName, folded, one_each


def refuse_splits(
    where: str, layout: Layout, tops: Collection[str], names: Mapping[str, SplitName] | None
) -> None:
    """Refuses splits without ``train``, and names, of a config or usual, that do not fit `tops`.

    Raises:
        DataError: Says which.
    """
    if names is None:
        one_each(where, layout.splits)
    there = {folded(top) for top in tops}
    gone = [name for name in names or () if folded(name) not in there]
    if gone:
        raise DataError(
            where=where,
            problem=f"has no folder {quoted(gone)}, which data.split.names has; it has "
            f"{quoted([*tops]) or 'none'}",
            fix="Set data.split.names to names of folders that are there",
        )
    if layout.splits and "train" not in layout.splits.values():
        raise DataError(
            where=where,
            problem=f"has the split folders {quoted(layout.splits)}, but no 'train'",
            fix="Add a folder 'train', with one folder for each class in it, or say in "
            "data.split.names which folder is which split; {} has all be classes",
        )
