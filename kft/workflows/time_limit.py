"""What a run with a time by which it has to be over does, and leaves out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kft.engine.deadline import Deadline
from kft.engine.train import PhaseResult
from kft.errors import ConfigError
from kft.phase import Phase
from kft.progress import say
from kft.settings.duration import DURATION, in_seconds


def deadline_in(max_time: str | None) -> Deadline | None:
    """The end of a run that begins now and may take `max_time`, such as ``2h``; None if it may any.

    Raises:
        ConfigError: It is no time.
    """
    if max_time is None:
        return None
    if not re.fullmatch(DURATION, max_time):
        raise ConfigError(
            "max_time", f"is {max_time!r}, no time", "Give a time such as 90s, 10m or 2h"
        )
    return Deadline(max_time, in_seconds(max_time))


def is_time_for(what: str, deadline: Deadline | None, seconds: float) -> bool:
    """Says whether `what`, which takes about so many seconds, ends in time; if not, says so."""
    if deadline is None or (not deadline.reached and deadline.leaves(seconds)):
        return True
    say(f"note: {deadline.given} leaves no time for {what} (about {seconds:.0f} s)")
    return False


def is_in_time(what: str, deadline: Deadline | None) -> bool:
    """Says whether `what` was trained to its end before the deadline; if not, says so."""
    if deadline is None or not deadline.reached:
        return True
    say(f"note: {deadline.given} was over before the end of {what}, which is given up")
    return False


def early_end(
    by: str, results: Sequence[PhaseResult], phases: Sequence[Phase], left_out: Sequence[str]
) -> Mapping[str, Any]:
    """Where training ended before its time, `by` what and without what, as in ``scores.json``.

    `results` are of the first of `phases`; `left_out` are the folds and the refit if they are.
    """
    last = results[-1].epochs[-1]
    later = [phase.name for phase in phases[len(results) :]]
    where = {"phase": last["phase"], "epoch": last["epoch"]}
    return {**where, "by": by, "without": [*later, *left_out]}
