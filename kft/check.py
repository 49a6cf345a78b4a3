"""Finds what would go wrong in a run, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kft.config import RunConfig
from kft.counts import class_counts
from kft.errors import KftError
from kft.features import decode_all
from kft.plan import fresh_task, plan_phases


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        counts: Examples of each class, by split.
        bad: What cannot be read, with the reason.
        notes: What a person should know, none of it fatal.
        faults: What would stop the run, each one message.
    """

    counts: Mapping[str, Mapping[str, int]]
    bad: Mapping[str, str]
    notes: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def is_fine(self) -> bool:
        """Says whether the run could start."""
        return not self.faults


def check(config: RunConfig) -> CheckResult:
    """Returns what is wrong with the data, the phases and the sizes that `config` names.

    Reads every example, downloads nothing and changes no file.

    Raises:
        DataError: The source finds nothing at all.
    """
    splits = config.data.load(config.seed)
    bad = {
        name: why
        for part, split in splits.by_name().items()
        for name, why in decode_all(split, splits.input, f"Reading {part}").bad.items()
    }
    skipped = config.data.on_bad_input == "skip"
    faults = [] if skipped else [f"{name}: cannot be read ({why})" for name, why in bad.items()]
    try:
        plan_phases(config, splits, fresh_task(config, splits))
    except KftError as error:
        faults.append(str(error))
    return CheckResult(class_counts(splits), bad, splits.notes, tuple(faults))
