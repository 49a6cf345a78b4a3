"""Weights examples in the loss by their classes, or each of their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from kft.data import Split, Target
from kft.errors import ConfigError
from kft.messages import closest, quoted

if TYPE_CHECKING:
    import numpy as np


def weigh(
    split: Split, target: Target, class_weights: Literal["balanced"] | Mapping[str, float] | None
) -> Split:
    """Returns `split` with its weights multiplied by those of its classes or labels, float32.

    With classes there is one weight for each example. With several labels there is one for each
    label of each example: the weight of the label if the example has it, else 1. ``balanced``
    gives a class ``size / (classes * count)``, and a label's presence and absence ``size / (2 *
    count)`` each, so that the mean weight is 1. None returns `split` itself.

    Raises:
        ConfigError: The target has no classes, or a name in `class_weights` is none of them.
    """
    import numpy as np

    if class_weights is None:
        return split
    if target.kind == "value":
        raise ConfigError(
            where="class_weights",
            problem="the data has a value target, which has no classes to weigh",
            fix="Set it to null; a table may give each example a weight in a column",
        )
    own = np.ones(split.size, "float32") if split.weights is None else split.weights
    if target.kind == "class":
        factors = of_classes(split, target, class_weights)[split.labels]
    else:
        own = own[:, None]
        factors = of_labels(split, target, class_weights)
    return replace(split, weights=(own * factors).astype("float32"))


def of_classes(
    split: Split, target: Target, class_weights: Literal["balanced"] | Mapping[str, float]
) -> np.ndarray:
    """Returns the weight of each class, ``(classes,)``, in the order of ``target.names``."""
    import numpy as np

    if class_weights != "balanced":
        return weights_by_name(class_weights, target)
    counts = np.bincount(split.labels, minlength=len(target.names))
    return split.size / (len(target.names) * np.maximum(counts, 1))


def of_labels(
    split: Split, target: Target, class_weights: Literal["balanced"] | Mapping[str, float]
) -> np.ndarray:
    """Returns the weight of each label of each example, ``(size, labels)``."""
    import numpy as np

    has = split.labels > 0
    if class_weights != "balanced":
        with_it, without = weights_by_name(class_weights, target), np.ones(len(target.names))
    else:
        counts = has.sum(axis=0)
        with_it = split.size / (2 * np.maximum(counts, 1))
        without = split.size / (2 * np.maximum(split.size - counts, 1))
    weights: np.ndarray = np.where(has, with_it, without)
    return weights


def weights_by_name(class_weights: Mapping[str, float], target: Target) -> np.ndarray:
    """Returns the weights that a config gives, ``(names,)``; a name that is left out counts 1."""
    import numpy as np

    known = {*target.names}
    for name in class_weights:
        if name not in known:
            raise ConfigError(
                where="class_weights",
                problem=f"there is no class {name!r}{closest(name, target.names)}",
                fix=f"Name classes of the data: {quoted(target.names)}",
            )
    return np.asarray([class_weights.get(name, 1.0) for name in target.names])
