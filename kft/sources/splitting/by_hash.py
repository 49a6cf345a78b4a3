"""Splits by the hash of each name alone, and what fills those that lack a class."""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from kft.messages import canonical


def place(key: str, seed: int) -> float:
    """The hash of a name or group, in [0, 1); the same on every machine and system."""
    text = unicodedata.normalize("NFC", f"{seed}/{key}")
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    # A float holds 53 bits: more would round up to 1.0.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def by_hash(
    places: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, str]:
    """Returns the split of each key by its place: others that come or go do not move it."""
    return {
        key: next(split for split, (_, end) in ranges.items() if at < end)
        for key, at in places.items()
    }


class Gaps:
    """Splits that have no example of some class, and what fills them.

    `chosen` holds the split of each key, an example or a group, and changes; `places` what `place`
    gives for it.
    """

    def __init__(
        self,
        chosen: dict[str, str],
        places: Mapping[str, float],
        shown: Mapping[str, Sequence[str]],
        ranges: Mapping[str, tuple[float, float]],
    ) -> None:
        self._chosen, self._places, self._ranges = chosen, places, ranges
        self._classes = {key: {*labels} for key, labels in shown.items()}
        self._held = holders(shown)
        self._counts = Counter(
            (label, chosen[key]) for label, keys in self._held.items() for key in keys
        )

    def fill(self) -> None:
        """Gives every split an example of every class, where it can be; to train in any case.

        Nothing else could learn it.
        """
        # In the same order whichever Unicode form the labels have.
        labels = sorted(sorted(self._held), key=canonical)
        for label, split in itertools.product(labels, self._ranges):
            if not self._counts[label, split]:
                self._give(self._spare(label), split)
        for label in labels:
            if not self._counts[label, "train"]:
                self._give(self._held[label], "train")

    def _spare(self, label: str) -> list[str]:
        """Returns the keys without which their own split lacks no class."""
        return [
            key
            for key in self._held[label]
            if all(self._counts[shown, self._chosen[key]] > 1 for shown in self._classes[key])
        ]

    def _give(self, keys: Sequence[str], split: str) -> None:
        """Moves the nearest of `keys`, if there is one, to `split`."""
        start, end = self._ranges[split]
        places = self._places
        away = {key: max(start - places[key], places[key] - end) for key in keys}
        for key in sorted(keys, key=lambda key: (away[key], key))[:1]:
            self._counts.subtract((label, self._chosen[key]) for label in self._classes[key])
            self._counts.update((label, split) for label in self._classes[key])
            self._chosen[key] = split


def holders(shown: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Returns the keys that show each class."""
    held: dict[str, list[str]] = {}
    for key, labels in shown.items():
        for label in dict.fromkeys(labels):
            held.setdefault(label, []).append(key)
    return held
