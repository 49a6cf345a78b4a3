"""Conditions on scores, such as ``accuracy>=0.95``, by which a pipeline goes on or stops."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any

from kft.errors import ConfigError
from kft.messages import closest

RELATIONS: dict[str, Callable[[float, float], bool]] = {">=": ge, "<=": le, ">": gt, "<": lt}
CONDITION = re.compile(r"\s*(.+?)\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*")
# Whose scores a condition is about that names no split: the first of these that there is.
SPLITS = ("data", "test", "validation")


@dataclass(frozen=True)
class Assertion:
    """A condition on a score.

    Attributes:
        name: Of the score, as in ``scores.json``, with dots between what lies in one another, such
            as ``macro.f1`` or ``test.per_class.cat.recall``.
        relation: A key of `RELATIONS`.
    """

    name: str
    relation: str
    limit: float

    @classmethod
    def of(cls, text: str) -> Assertion:
        """The condition that a person writes as `text`.

        Raises:
            ConfigError: It is none.
        """
        found = CONDITION.fullmatch(text)
        try:
            if found is None:
                raise ValueError
            return cls(found[1], found[2], float(found[3]))
        except ValueError as error:
            fix = f"Give a score, one of {' '.join(RELATIONS)} and a number: 'accuracy>=0.95'"
            raise ConfigError(f"--assert {text!r}", "is no condition", fix) from error

    def failure(self, scores: Mapping[str, Mapping[str, Any]]) -> str | None:
        """What does not hold of the `scores`, by split; None if it holds.

        Raises:
            ConfigError: There is no such score.
        """
        split, found = self._found(scores)
        wanted = f"expected {self.relation} {self.limit:g}"
        if found is None:
            return f"{split}: {self.name} is not defined for these examples, {wanted}"
        if RELATIONS[self.relation](found, self.limit):
            return None
        return f"{split}: {self.name} is {found:.6g}, {wanted}"

    def _found(self, scores: Mapping[str, Mapping[str, Any]]) -> tuple[str, float | None]:
        """The split that the condition is about, and its score."""
        usual = next(split for split in SPLITS if split in scores)
        splits = {usual: self.name} | {
            split: self.name.removeprefix(f"{split}.")
            for split in scores
            if self.name.startswith(f"{split}.")
        }
        for split, name in splits.items():
            known = dict(numbers_in(scores[split]))
            if name in known:
                return split, known[name]
        known = dict(numbers_in(scores[usual]))
        raise ConfigError(
            where=f"--assert {self.name}",
            problem=f"there is no score {self.name!r}{closest(self.name, known)}",
            fix="Take one that `kft evaluate RUN --json` prints, such as accuracy or macro.f1",
        )


def numbers_in(scores: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float | None]]:
    """Yields each number in `scores`, None too, by its name with dots."""
    for key, value in scores.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from numbers_in(value, f"{name}.")
        elif value is None or isinstance(value, int | float):
            yield name, value


def failures(assertions: Iterable[Assertion], scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What does not hold of `scores`, by split."""
    each = (assertion.failure(scores) for assertion in assertions)
    return [failure for failure in each if failure is not None]
