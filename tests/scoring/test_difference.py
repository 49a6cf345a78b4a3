import numpy as np
import pytest

from kft.data import Target
from kft.scoring.difference import difference_of


def test_a_difference_of_values_is_a_share_of_the_largest_of_their_name():
    answers, change = np.array([[2e6, 1e-3], [1e6, -4e-3]]), np.array([[0, 1e-6], [1e3, 0]])

    of_class, of_value, of_nothing = (
        difference_of(served, answers, Target(kind, ("a", "b")))
        for served, kind in [
            (answers + change, "class"),
            (answers + change, "value"),
            (answers * np.nan, "value"),
        ]
    )

    assert of_class == pytest.approx(1e3)
    assert of_value == pytest.approx(5e-4)
    assert np.isnan(of_nothing)
