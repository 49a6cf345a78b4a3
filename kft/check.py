"""Finds what would go wrong in a run, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kft.best import Best
from kft.class_weights import weigh
from kft.config import RunConfig
from kft.counts import class_counts
from kft.data import Splits
from kft.errors import KftError
from kft.plan import fresh_task, plan_phases
from kft.reading import decode_all, decoder_of
from kft.run import refuse_used
from kft.selection import check_select


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        counts: Examples of each class or label, by split.
        sizes: Examples of each split.
        bad: What cannot be read, with the reason.
        notes: What a person should know, none of it fatal.
        faults: What would stop the run, each one message.
    """

    counts: Mapping[str, Mapping[str, int]]
    sizes: Mapping[str, int]
    bad: Mapping[str, str]
    notes: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def is_fine(self) -> bool:
        """Says whether the run could start."""
        return not self.faults


def check(config: RunConfig) -> CheckResult:
    """Returns what is wrong with the data, the phases and the sizes that `config` names.

    Reads every example, downloads no weights and changes no file.

    Raises:
        DataError: The source finds nothing at all.
    """
    splits = config.data.load(config.seed)
    bad: dict[str, str] = {}
    faults = []
    decode = decoder_of(splits.input)
    for part, split in splits.by_name().items():
        found = decode_all(split, splits.input, f"Reading {part}", decode).bad
        bad.update(found)
        if config.data.on_bad_input == "stop":
            faults += [f"{name}: cannot be read ({why})" for name, why in found.items()]
        elif len(found) == split.size:
            faults.append(f"{part}: none of its {split.size} examples can be read")
    faults += wrong_settings(config, splits)
    return CheckResult(class_counts(splits), splits.sizes, bad, splits.notes, tuple(faults))


def wrong_settings(config: RunConfig, splits: Splits) -> list[str]:
    """Returns what does not fit together, each one message; the first keeps no other back."""
    faults = []
    for look in LOOKS:
        try:
            look(config, splits)
        except KftError as error:
            faults.append(str(error))
    return faults


def look_at_weights(config: RunConfig, splits: Splits) -> None:
    """Raises BackboneError if a file of pretrained weights is not there."""
    config.backbone.look_for_weights()


def look_at_directory(config: RunConfig, splits: Splits) -> None:
    """Raises ConfigError if the run may not write where it should."""
    refuse_used(Path(config.output_dir))


def look_at_phases(config: RunConfig, splits: Splits) -> None:
    """Builds the model, and raises KftError if a phase or the monitor does not fit it."""
    task = fresh_task(config, splits)
    plan_phases(config, splits, task)
    Best(task.model, config.monitored).check_monitor(task.head)
    check_select(config.select, task, config.phases)


def look_at_class_weights(config: RunConfig, splits: Splits) -> None:
    """Raises ConfigError if the class weights do not fit the classes."""
    weigh(splits.train, splits.target, config.class_weights)


def look_at_callbacks(config: RunConfig, splits: Splits) -> None:
    """Raises ConfigError if a callback cannot be made."""
    for callback in config.callbacks:
        callback.build()


LOOKS = (
    look_at_directory,
    look_at_weights,
    look_at_phases,
    look_at_class_weights,
    look_at_callbacks,
)
