"""Checks that a killed run can be resumed: versions and data must be as when it began."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft.cache.decoded_rows import stamps
from kft.data import Split, Splits, Target
from kft.engine.run_state import EXAMPLES, SavedState, damaged
from kft.errors import ConfigError, DataError
from kft.messages import listed, quoted
from kft.results.report import environment, split_rows
from kft.storage.files import csv_reader
from kft.storage.run_files import CONFIG, ENVIRONMENT, SPLIT, TARGET

if TYPE_CHECKING:
    import numpy as np

NAMED_IN_MESSAGE = 3
PACKAGES = ("kft", "keras", "tensorflow", "numpy")


def refuse_changes(found: SavedState, listed: Splits, read: Splits) -> None:
    """Refuses to go on from the state that was `found`, if versions or data are others now.

    `listed` are the splits as their source gave them, `read` those that were decoded.

    Raises:
        ConfigError: Some are.
        TrainingError: A file that says how they were is damaged.
    """
    refuse_other_versions(found.directory)
    refuse_other_list(found.directory, listed)
    refuse_other_content(found, read)


def refuse_other_versions(directory: Path) -> None:
    """Raises ConfigError if the run in `directory` began with other versions."""
    try:
        there = json.loads((directory / ENVIRONMENT).read_text(encoding="utf-8"))
        then = {package: there[package] for package in PACKAGES}
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise damaged(directory, f"{ENVIRONMENT} is missing or damaged") from error
    here = environment()
    for package in PACKAGES:
        if then[package] != here[package]:
            problem = f"was begun with {package} {then[package]}, and here is {here[package]}"
            raise refused(directory, problem, f"Install {package}=={then[package]}")


def refuse_other_list(directory: Path, splits: Splits) -> None:
    """Raises ConfigError if the run in `directory` began with other examples, labels or splits."""
    try:
        with (directory / SPLIT).open(newline="", encoding="utf-8") as file:
            then = [tuple(row) for row in csv_reader(file)][1:]
    except (FileNotFoundError, ValueError, csv.Error) as error:
        raise damaged(directory, f"{SPLIT} is missing or damaged") from error
    now = list(split_rows(splits))
    if then != now:
        problem = f"the data is not what {directory / SPLIT} lists: {difference(then, now)}"
        raise refused(directory, problem, "Restore the data")
    target = directory / TARGET
    text = target.read_text(encoding="utf-8", errors="replace") if target.is_file() else None
    if text == splits.target.to_json():
        return
    before = names_in(text or "")
    if sorted(before) == sorted(splits.target.names) and before != [*splits.target.names]:
        problem = f"the classes were in the order {quoted(before)}"
        raise refused(directory, problem, "Restore data.classes")
    raise damaged(directory, f"{TARGET} is missing or damaged")


def names_in(text: str) -> list[str]:
    """The names in the JSON of a target, in order; none if it is damaged."""
    try:
        return [*Target.from_json(text).names]
    except (ValueError, KeyError, TypeError, DataError):
        return []


def difference(then: Sequence[tuple[str, ...]], now: Sequence[tuple[str, ...]]) -> str:
    """Returns the examples in which two lists differ."""
    before, after = ({row[0]: row for row in rows} for rows in (then, now))
    gone = [name for name in before if name not in after]
    new = [name for name in after if name not in before]
    other = [name for name, row in after.items() if before.get(name, row) != row]
    kinds = (
        (gone, "gone"),
        (new, "new"),
        (other, "with another label, split or group"),
    )
    return (
        "; ".join(f"{listed(names, NAMED_IN_MESSAGE)} {how}" for names, how in kinds if names)
        or "their order or number"
    )


def refuse_other_content(found: SavedState, read: Splits) -> None:
    """Raises ConfigError if an example does not hold what it held when the run began."""
    splits = read.by_name()
    before = found.arrays(EXAMPLES)
    changed: list[str] = []
    for number, (name, split) in enumerate(splits.items()):
        digests, times = before[2 * number : 2 * number + 2]
        if len(digests) != split.size:
            problem = f"{split.size} {name} examples can be read, and {len(digests)} could be"
            raise refused(found.directory, problem, "Restore the data")
        changed += changed_in(split, digests, times)
    if changed:
        problem = (
            f"the content of {len(changed)} of {sum(read.sizes.values())} examples has changed "
            f"since it was begun: {listed(changed, NAMED_IN_MESSAGE)}"
        )
        raise refused(found.directory, problem, "Restore these files")


def changed_in(split: Split, digests: np.ndarray, times: np.ndarray) -> list[str]:
    """Returns the names of the examples of `split` that are others than those of `examples_of`.

    Processors of different kinds decode some pictures a little differently, so one whose file was
    not written to counts as it was.
    """
    import numpy as np

    other = np.any(np.asarray(split.digests) != digests, axis=1)
    now = stamps_of(split)
    if len(times) == len(now) == split.size:
        other &= np.any(now != times, axis=1)
    return [split.names[index] for index in np.flatnonzero(other).tolist()]


def examples_of(read: Splits) -> list[np.ndarray]:
    """Returns the digests of all examples, and size and time of their files, split by split."""
    import numpy as np

    arrays: list[Any] = []
    for split in read.by_name().values():
        arrays += [np.asarray(split.digests), stamps_of(split)]
    return arrays


def stamps_of(split: Split) -> np.ndarray:
    """Returns size and time of the file of each example, int64 ``(size, 2)``; or none at all."""
    import numpy as np

    found = stamps(split.files or ())
    return np.array([stamp[1:] for stamp in found], "int64").reshape(len(found), 2)


def refused(directory: Path, problem: str, fix: str) -> ConfigError:
    """Returns the error of a run that cannot go on as things are now."""
    other = f"or start a new run: `{directory / CONFIG}` with another output_dir"
    return ConfigError(f"resume {str(directory)!r}", problem, f"{fix}, {other}")
