"""The result of a learning-rate finder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# Standard deviation of the smoothing, in steps: a quarter of a decade where 100 steps go
# through eight. It looks to both sides, so that it does not lag as a running mean would.
SMOOTHING = 3.0
FEWEST_STEPS = 10
HARDLY = 0.05


def smooth(losses: Sequence[float]) -> list[float]:
    """Returns `losses` with the noise of single batches taken off, by a Gaussian."""
    import numpy as np

    steps = np.arange(len(losses))
    shares = np.exp(-0.5 * ((steps[:, None] - steps) / SMOOTHING) ** 2)
    smoothed: list[float] = (shares @ losses / shares.sum(axis=1)).tolist()
    return smoothed


@dataclass(frozen=True)
class FoundRate:
    """The loss of training at rates that grow, and what it suggests.

    Attributes:
        rates: Of each step, lowest first; those until the loss blew up.
        losses: Of each batch, before its step.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @cached_property
    def smoothed(self) -> tuple[float, ...]:
        """The losses without the noise of single batches."""
        return tuple(smooth(self.losses))

    @property
    def lowest_at(self) -> int:
        """The step at which the smoothed loss is lowest."""
        return self.smoothed.index(min(self.smoothed))

    @property
    def tenth(self) -> float:
        """A tenth of the rate at which the loss is lowest: there it is about to rise."""
        return self.rates[self.lowest_at] / 10

    @property
    def steepest(self) -> float:
        """The rate at which the loss falls fastest for each factor of the rate."""
        import numpy as np

        until = max(self.lowest_at + 1, 2)
        slopes = np.gradient(self.smoothed[:until], np.log(self.rates[:until]))
        return self.rates[int(np.argmin(slopes))]

    @property
    def recommended(self) -> float:
        """The lower of the two, since fine-tuning pays more for a rate too high."""
        return min(self.tenth, self.steepest)

    @property
    def fell(self) -> float:
        """The share of the first loss that the lowest is below it."""
        return 1 - min(self.smoothed) / self.smoothed[0]

    @property
    def note(self) -> str:
        """A caution about the numbers; may be empty."""
        if self.fell < HARDLY:
            return (
                f"The loss fell by {100 * max(self.fell, 0.0):.0f} % only: the test shows which "
                "rates are too high, hardly which is best."
            )
        if self.lowest_at == len(self.rates) - 1:
            return "The loss fell until the end: higher rates may be better still."
        return ""

    def to_json(self) -> dict[str, Any]:
        """Returns everything, ready for JSON."""
        suggestions = {"recommended": self.recommended, "steepest": self.steepest}
        return {
            **suggestions,
            "tenth_of_lowest": self.tenth,
            "note": self.note,
            "rates": list(self.rates),
            "losses": list(self.losses),
            "smoothed": list(self.smoothed),
        }
