"""Finds what would go wrong in a run, without training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft.config.run_config import RunConfig
from kft.data import Splits
from kft.distribute.one_device import devices_of
from kft.engine.class_weights import weigh
from kft.engine.prepare import refuse_on_devices
from kft.errors import ConfigError, KftError, OutOfMemoryError
from kft.results.counts import class_counts
from kft.results.run_directory import refuse_used
from kft.sources.exclude import listed, load_splits
from kft.storage.assets import refuse_missing_assets
from kft.workflows.checking.estimate import Estimate, estimates
from kft.workflows.checking.findings import exclusions, in_json, notes_of
from kft.workflows.checking.survey import Survey, survey
from kft.workflows.plan import plan_phases
from kft.workflows.setup import build_task, say_devices, with_phases
from kft.workflows.validate import refuse_phases


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        counts: Examples of each class or label, by split.
        sizes: Examples of each split.
        bad: What cannot be read, with the reason.
        seen: What the examples show.
        notes: What a person should know, none of it fatal.
        faults: What would stop the run, each one message.
        estimates: What each phase takes on this machine; empty if something would stop the run.
        called: What messages call several examples.
    """

    counts: Mapping[str, Mapping[str, int]]
    sizes: Mapping[str, int]
    bad: Mapping[str, str]
    seen: Survey
    notes: tuple[str, ...]
    faults: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    called: str = "examples"

    @property
    def is_fine(self) -> bool:
        """Says whether the run could start."""
        return not self.faults

    def in_json(self) -> dict[str, Any]:
        """Returns all that was found, ready for JSON."""
        return {
            "fine": self.is_fine,
            "faults": self.faults,
            "notes": self.notes,
            "bad": self.bad,
            "counts": self.counts,
            "sizes": self.sizes,
            "phases": [each.in_json() for each in self.estimates],
            **in_json(self.seen),
        }


def check(config: RunConfig) -> CheckResult:
    """Finds faults of the data, the phases and the sizes that `config` names.

    Reads every example, downloads no weights and changes no file. Measures on the devices of this
    machine that a run would use.

    Raises:
        DataError: The source finds nothing at all.
        ConfigError: A file that a component hands over to the run is not there, or a device.
    """
    with devices_of(config.distribute.on_this_machine()):
        return checked(config)


def checked(config: RunConfig) -> CheckResult:
    """What a check of `config` finds, on the devices in scope."""
    refuse_missing_assets(config.model_parts)
    splits = load_splits(config.data, config.seed)
    seen = survey(splits)
    counts = class_counts(splits)
    faults = [*unreadable(config, splits, seen), *wrong_settings(config, splits)]
    measured, too_large = ((), None) if faults else measure(config, readable(splits, seen))
    return CheckResult(
        counts=counts,
        sizes=splits.sizes,
        bad={name: why for bad in seen.bad.values() for name, why in bad.items()},
        seen=seen,
        notes=(*splits.notes, *notes_of(seen, counts["train"])),
        faults=(*faults, *([too_large] if too_large else [])),
        estimates=measured,
        called=splits.input.plural,
    )


def readable(splits: Splits, seen: Survey) -> Splits:
    """The examples of `splits` that can be read."""
    kept = {
        part: split.take([at for at, name in enumerate(split.names) if name not in seen.bad[part]])
        for part, split in splits.by_name().items()
    }
    return splits.with_splits(kept, splits.notes)


def measure(config: RunConfig, splits: Splits) -> tuple[tuple[Estimate, ...], str | None]:
    """The estimates of the phases, up to one that does not fit into memory, and that fault."""
    say_devices(config.precision)
    measured: list[Estimate] = []
    try:
        measured.extend(estimates(config, splits))
    except OutOfMemoryError as error:
        return tuple(measured), str(error)
    return tuple(measured), None


def check_and_write(config: RunConfig, report: Path | None, excluded: Path | None) -> CheckResult:
    """Checks, and writes the result as JSON and a list of what to exclude, where asked for.

    Raises:
        ConfigError: One of the files is there already, or cannot be.
    """
    for path in (report, excluded):
        refuse_unwritable(path)
    result = check(config)
    if report is not None:
        text = json.dumps(result.in_json(), indent=2, ensure_ascii=False)
        report.write_text(text + "\n", encoding="utf-8")
    if excluded is not None:
        excluded.write_text(listed(exclusions(result.seen)), encoding="utf-8")
    return result


def refuse_unwritable(path: Path | None) -> None:
    """Raises ConfigError if there is something at `path`, or no folder to write it into."""
    if path is None:
        return
    if path.exists():
        raise ConfigError(str(path), "already exists", "Give another file name, or move it away")
    if not path.parent.is_dir():
        problem = f"has no folder {str(path.parent)!r}"
        raise ConfigError(str(path), problem, "Make this folder, or give another file name")


def unreadable(config: RunConfig, splits: Splits, seen: Survey) -> Iterator[str]:
    """Yields why examples that cannot be read would stop the run, each one message."""
    for part, bad in seen.bad.items():
        if config.data.on_bad_input == "stop":
            yield from (f"{name}: cannot be read ({why})" for name, why in bad.items())
        elif len(bad) == splits.sizes[part]:
            yield f"{part}: none of its {len(bad)} examples can be read"


def wrong_settings(config: RunConfig, splits: Splits) -> list[str]:
    """All settings that do not fit together, each one message."""
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
    task = build_task(config, splits.target, splits.input)
    config = with_phases(config, splits, task.backbone)
    plan_phases(config, splits, task)
    refuse_phases(config, task)
    for phase in config.phases:
        refuse_on_devices(phase, task, phase.batch_size or config.data.batch_size)


def look_at_class_weights(config: RunConfig, splits: Splits) -> None:
    """Raises ConfigError if the class weights do not fit the classes."""
    weigh(splits.train, splits.target, config.class_weights)


def look_at_callbacks(config: RunConfig, splits: Splits) -> None:
    """Raises ConfigError if a callback cannot be made."""
    config.built_callbacks()


LOOKS = (
    look_at_directory,
    look_at_weights,
    look_at_phases,
    look_at_class_weights,
    look_at_callbacks,
)
