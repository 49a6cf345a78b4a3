"""Looks at every example once: what can be read, what is odd, and which are alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kft.cache.decode import decoded, why_bad
from kft.cache.decoded_rows import readable
from kft.cache.inference import PASS_SIZE
from kft.cache.key import digest_each
from kft.data import Split, Splits
from kft.input import Fingerprints, Input
from kft.progress import track
from kft.workflows.checking.duplicates import Alike, alike, same

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

# Decodes and measures a raw example.
Look = Callable[["tf.Tensor"], "tuple[tf.Tensor, tf.Tensor]"]


@dataclass(frozen=True, eq=False)
class Survey:
    """What was seen of the examples that can be read, those of all splits in one order.

    Attributes:
        splits: Of each example, by name.
        labels: Of each, as a `Split` has them.
        digests: Of each once decoded, uint8 ``(n, 16)``.
        fingerprints: None if the input gives none.
        odd: What the input says of single examples: name and remark.
        bad: What cannot be read, with the reason, by split and name.
    """

    names: Sequence[str]
    splits: Sequence[str]
    labels: np.ndarray
    digests: np.ndarray
    fingerprints: Fingerprints | None
    odd: Sequence[tuple[str, str]]
    bad: Mapping[str, Mapping[str, str]]

    @cached_property
    def copies(self) -> list[Alike]:
        """The groups of examples that are the same."""
        return same(self.digests)

    @cached_property
    def near(self) -> list[Alike]:
        """The groups of examples that look alike, but for those of copies alone."""
        if self.fingerprints is None:
            return []
        numbers = {
            member: number for number, group in enumerate(self.copies) for member in group.members
        }
        return [
            group
            for group in alike(self.fingerprints)
            if len({numbers.get(member, -1 - member) for member in group.members}) > 1
        ]

    def is_torn(self, group: Alike) -> bool:
        """Says whether the members of a group are in more than one split."""
        return len({self.splits[member] for member in group.members}) > 1

    def contradicts(self, group: Alike) -> bool:
        """Says whether the members of a group have different labels."""
        import numpy as np

        return len(np.unique(self.labels[list(group.members)], axis=0)) > 1


def survey(splits: Splits) -> Survey:
    """Decodes every example of `splits` once, on all cores, and returns what was seen."""
    import numpy as np
    import tensorflow as tf

    look = tf.function(lambda raw: (decoded(splits.input, raw), splits.input.measure(raw)))
    seen = {
        name: Seen.of(split, splits.input, look, name) for name, split in splits.by_name().items()
    }
    prints = [each.fingerprints for each in seen.values() if each.fingerprints is not None]
    return Survey(
        names=[name for each in seen.values() for name in each.split.names],
        splits=[name for name, each in seen.items() for _ in each.split.names],
        labels=np.concatenate([each.split.labels for each in seen.values()]),
        digests=np.concatenate([each.digests for each in seen.values()]),
        fingerprints=joined(prints) if prints else None,
        odd=[found for each in seen.values() for found in each.odd],
        bad={name: each.bad for name, each in seen.items()},
    )


def joined(parts: Sequence[Fingerprints]) -> Fingerprints:
    """Returns the fingerprints of all `parts`, in order."""
    import numpy as np

    return Fingerprints(
        np.concatenate([part.hashes for part in parts]),
        np.concatenate([part.sketches for part in parts]),
    )


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen of one split; `split` holds what can be read, the rest is as in `Survey`."""

    split: Split
    digests: np.ndarray
    fingerprints: Fingerprints | None
    odd: Sequence[tuple[str, str]]
    bad: Mapping[str, str]

    @classmethod
    def of(cls, split: Split, input: Input, look: Look, name: str) -> Seen:
        """Looks at each example of `split`, called `name`."""
        import numpy as np

        good, digests, measures, prints = [], [np.zeros((0, 16), "uint8")], [], []
        batches = readable(split, look)
        for indices, inputs, measured in track(
            batches, f"Looking at {name}", -(-split.size // PASS_SIZE)
        ):
            good += indices.numpy().tolist()
            digests.append(digest_each(inputs.numpy()))
            measures.append(measured.numpy())
            prints.append(input.fingerprints(inputs.numpy()))
        read = split.take(good)
        known = [each for each in prints if each is not None]
        return cls(
            split=read,
            digests=np.concatenate(digests),
            fingerprints=joined(known) if known else None,
            odd=list(input.remarks(read.names, np.concatenate(measures))) if good else [],
            bad={
                split.names[index]: why_bad(split, input, index)
                for index in sorted({*range(split.size)} - {*good})
            },
        )
