"""How many examples there are of what."""

from __future__ import annotations

from kft.data import Splits


def class_counts(splits: Splits) -> dict[str, dict[str, int]]:
    """Returns how many examples each class has, by split; nothing for targets without classes."""
    import numpy as np

    names = splits.target.names
    if splits.target.kind != "class":
        return {}
    return {
        part: dict(
            zip(names, np.bincount(split.labels, minlength=len(names)).tolist(), strict=True)
        )
        for part, split in splits.by_name().items()
    }
