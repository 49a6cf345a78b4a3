"""Stages of a model whose layers cannot be seen, from the names of its variables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from kft.backbone import Stage

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def variable_stages(
    names: Sequence[str], variables: Sequence[keras.Variable], trainable: Sequence[bool]
) -> tuple[Stage, ...]:
    """Returns the stages of `variables`, in their order, which is that of making: input side first.

    Variables whose names begin alike are one stage, called by that beginning: ``block/dense`` for
    ``block/dense/kernel``. One with nothing but vectors, such as a normalisation, joins the stage
    before it; one with nothing `trainable` is none.
    """
    groups: dict[str, list[int]] = {}
    for number, name in enumerate(stage_names(names, ranks_of(variables))):
        groups.setdefault(name, []).append(number)
    stages: list[tuple[str, list[int]]] = []
    for name, numbers in groups.items():
        if stages and all(len(variables[number].shape) < 2 for number in numbers):
            stages[-1][1].extend(numbers)
        elif any(trainable[number] for number in numbers):
            stages.append((name, numbers))
    return tuple(Stage(name, tuple(variables[n] for n in numbers)) for name, numbers in stages)


def ranks_of(variables: Sequence[keras.Variable | tf.Variable]) -> list[int]:
    """The number of dimensions of each of `variables`."""
    return [len(variable.shape) for variable in variables]


def stage_names(names: Sequence[str], ranks: Sequence[int]) -> list[str]:
    """Returns the beginning of each of `names`, up to its last slash.

    Of names without one, as Keras 3 gives them, each that is of a matrix begins a stage, and the
    vectors after it belong to it.
    """
    found: list[str] = []
    current, count = "", 0
    for name, rank in zip(names, ranks, strict=True):
        beginning = name.rpartition("/")[0]
        if not beginning and (rank > 1 or not current):
            current, count = (f"{name}_{count}" if count else name), count + 1
        found.append(beginning or current)
    return found


def batch_norm_members(
    names: Sequence[str], ranks: Sequence[int], statistics: Collection[str]
) -> set[int]:
    """Returns the numbers of the variables of batch normalisations, whose `statistics` are given.

    Those are the vectors that are named beside the statistics, and where names have no beginning,
    all called ``gamma`` and ``beta``.
    """
    norms = {name.rpartition("/")[0] for name in statistics}
    return {
        number
        for number, (name, rank) in enumerate(zip(names, ranks, strict=True))
        for beginning, _, last in [name.rpartition("/")]
        if rank < 2 and beginning in norms and (beginning or last in ("gamma", "beta"))
    }
