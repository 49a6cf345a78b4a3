"""When a run has to be over, and so when its training has to end."""

from __future__ import annotations

import time
from collections.abc import Callable

from kft.distribute.cluster import min_over_workers

# Seconds that the end of a run takes besides its answers: scores, figures, the export and the
# process that verifies it.
AROUND = 25.0
# Seconds that this takes longer for each megabyte of weights.
PER_MEGABYTE = 0.05


class Deadline:
    """A time by which a run has to be over.

    Attributes:
        given: As a person gave it, such as ``2h``.
        reserve: Seconds to hold back for what comes after training.
        preparing: Seconds that it took to make the last phase ready, with its first validation.
        reached: Whether it has ended training.
    """

    def __init__(
        self, given: str, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.given = given
        self.reserve = AROUND
        self.preparing = 0.0
        self.reached = False
        self._clock = clock
        self._end = clock() + seconds

    def hold_back(self, seconds: float, megabytes: float) -> None:
        """Holds back so many seconds for the answers, and what the end takes of such weights."""
        self.reserve = max(self.reserve, AROUND + seconds + PER_MEGABYTE * megabytes)

    def leaves(self, seconds: float) -> bool:
        """Says whether there are so many seconds before the end of the run begins.

        All workers get the same answer, that of the one with the least time.
        """
        late = self._clock() + seconds + self.reserve >= self._end
        return not min_over_workers(-int(late))
