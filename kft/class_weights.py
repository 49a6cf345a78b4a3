"""Class weights: what an example of each class counts in the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from kft.component import closest
from kft.data import Split, Target
from kft.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np


def weigh(
    split: Split, target: Target, class_weights: Literal["balanced"] | Mapping[str, float] | None
) -> Split:
    """Returns `split` with its weights times those of its classes.

    ``balanced`` gives a class ``size / (classes * count)``, so that the mean weight is 1.

    Raises:
        ConfigError: There are no classes, or a name is none of them.
    """
    import numpy as np

    if class_weights is None:
        return split
    if target.kind != "class":
        raise ConfigError(
            where="class_weights",
            problem=f"the data has a {target.kind} target, which has no classes to weigh",
            fix="Set it to null; a table may give each example a weight in a column",
        )
    factors = (
        balanced(split, target) if class_weights == "balanced" else given(class_weights, target)
    )
    own = np.ones(split.size, "float32") if split.weights is None else split.weights
    return replace(split, weights=(own * factors[split.labels]).astype("float32"))


def balanced(split: Split, target: Target) -> np.ndarray:
    """Returns the weights ``(classes,)`` that make every class count the same."""
    import numpy as np

    counts = np.bincount(split.labels, minlength=len(target.names))
    return split.size / (len(target.names) * np.maximum(counts, 1))


def given(class_weights: Mapping[str, float], target: Target) -> np.ndarray:
    """Returns the weights ``(classes,)`` that a config gives; a class left out counts 1."""
    import numpy as np

    for name in class_weights:
        if name not in target.names:
            raise ConfigError(
                where="class_weights",
                problem=f"there is no class {name!r}{closest(name, target.names)}",
                fix="Name classes of the data",
            )
    return np.asarray([class_weights.get(name, 1.0) for name in target.names])
