"""Divides a phase into segments, runs of epochs that train the same stages of the backbone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from kft.backbone import Stage
from kft.engine.step import stage_factors
from kft.errors import ConfigError
from kft.phase import Phase
from kft.pipeline.augment import augmenting_input
from kft.pipeline.mix import refuse_mix
from kft.task import Task


@dataclass(frozen=True, eq=False)
class Segment:
    """Consecutive epochs that train the same stages; most phases are one segment.

    Attributes:
        stages: The trained stages of the backbone, input side first; empty for the head alone.
        first: Number of its first epoch within the phase, counted from 0.
        epochs: The number of epochs, at least 1.
    """

    stages: Sequence[Stage]
    first: int
    epochs: int


def segments_of(task: Task, phase: Phase, number: int) -> tuple[Segment, ...]:
    """Returns the segments of phase `number`, counted from 0, in order.

    Raises:
        ConfigError: The phase does not fit the backbone or the input.
    """
    with inside(f"phases[{number}]"):
        stage_factors(phase, task.backbone)
        refuse_mix(phase, task.input)
        augmenting_input(phase, task.input)  # only to know that there is one
    with inside(f"phases[{number}].unfreeze"):
        by_epoch = phase.unfreeze.by_epoch(task.backbone, phase.epochs)
    names = [[stage.name for stage in stages] for stages in by_epoch]
    runs = [list(run) for _, run in groupby(range(phase.epochs), key=lambda epoch: names[epoch])]
    return tuple(Segment(by_epoch[run[0]], run[0], len(run)) for run in runs)


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Puts `place` in the config before the ``where`` of a ConfigError that is relative to it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{place}.{error.where}", error.problem, error.fix) from error
