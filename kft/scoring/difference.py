"""How far two sets of answers to the same examples are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kft.data import Target

if TYPE_CHECKING:
    import numpy as np


def difference_of(outputs: np.ndarray, expected: np.ndarray, target: Target) -> float:
    """The largest difference between outputs ``(size, k)``; NaN if one is no number.

    Of values in any unit, it is a share of the largest of that name: rounding grows with it.
    """
    return float(differences_of(outputs, expected, target).max(initial=0.0))


def differences_of(outputs: np.ndarray, expected: np.ndarray, target: Target) -> np.ndarray:
    """As `difference_of`, of each output, ``(size, k)``."""
    import numpy as np

    difference: np.ndarray = np.abs(outputs - expected)
    if target.kind == "value":
        largest = np.abs(expected).max(axis=0, initial=0.0)
        difference = difference / np.where(largest > 0, largest, 1.0)
    return difference
