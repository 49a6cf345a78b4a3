"""Counts examples by class or label."""

from __future__ import annotations

from kft.data import Splits
from kft.scoring.metrics import scoring_of


def class_counts(splits: Splits) -> dict[str, dict[str, int]]:
    """The number of examples of each class or label, by split; of values, nothing."""
    scoring = scoring_of(splits.target)
    return {name: scoring.counts(split.labels) for name, split in splits.by_name().items()}
