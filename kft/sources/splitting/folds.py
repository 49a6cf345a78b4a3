"""Folds for cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from kft.errors import DataError
from kft.sources.splitting.by_hash import place
from kft.sources.splitting.keys import keys_of, shown_by
from kft.sources.splitting.stratified import deal

if TYPE_CHECKING:
    import numpy as np


def folds(
    names: Sequence[str],
    labels: Sequence[tuple[str, ...]],
    k: int,
    seed: int,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Returns the fold of each example, 0 to k - 1, int ``(n,)``, by the arguments of `assign`.

    Where each example shows one class, or none does, the folds differ by one at most in the number
    of examples of each class, and of all. Several labels and groups come as near as they can. A
    class of fewer than `k` examples or groups is not in every fold, and one of a single example
    or group is trained on in all folds but that which holds it.

    Raises:
        DataError: There are fewer examples or groups than folds, or fewer than 2 folds.
    """
    import numpy as np

    keys = keys_of(names, groups)
    shown = shown_by(keys, labels)
    if not 2 <= k <= len(shown):
        what = "examples" if groups is None else "groups"
        raise DataError(
            where="folds",
            problem=f"are {k} for {len(shown)} {what}, expected 2 to {len(shown)}",
            fix=f"Give another number of folds, or add {what}",
        )
    places = {key: place(key, seed) for key in shown}
    fold_of = deal(shown, places, [Fraction(1, k)] * k)
    return np.array([fold_of[key] for key in keys])
