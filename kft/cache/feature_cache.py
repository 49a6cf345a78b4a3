"""Keeps what frozen layers give, so that they run over the data once: in memory and on disk.

What is kept is again a `Split`: it fetches what the rest of the model takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kft.cache import store
from kft.cache.feature_rows import FeatureSet, fetch_from
from kft.cache.inference import specs_of
from kft.cache.key import ModelDigest, digest_model
from kft.cache.place import OFF, CachePolicy, Place, place_for, row_dtype
from kft.cache.views import Views
from kft.data import Split
from kft.distribute.cluster import is_chief, min_over_workers
from kft.progress import say

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True, eq=False)
class FeatureRequest:
    """Features to keep.

    Attributes:
        model: Frozen and deterministic; maps decoded examples to the features.
        split: The examples, decoded.
        name: Of the split, for messages.
        views: The variants of the examples.
    """

    model: keras.Model
    split: Split
    name: str
    views: Views = Views()

    def sets(self, row: np.dtype[Any]) -> Iterator[FeatureSet]:
        """Yields what is to be computed, a set for each view, its rows of dtype `row`."""
        count = len(self.views.variants)
        for number, view in enumerate(self.views.variants, start=1):
            one_of = f", view {number} of {count}" if count > 1 else ""
            title = f"the features of {self.name}{one_of}"
            yield FeatureSet(self.model, self.split, view, row, title)

    def is_like(self, other: FeatureRequest) -> bool:
        """Says whether the examples are those of `other`."""
        mine, others = self.views.variants, other.views.variants
        same_views = [view.told for view in mine] == [view.told for view in others]
        return self.split is other.split and same_views


@dataclass(frozen=True, eq=False)
class CacheResult:
    """Features that are kept, or why not.

    Attributes:
        split: Fetches the features, variant ``v`` of an example at ``index + v * size``. None if
            they are not kept.
        told: Where they are or why not, for people.
    """

    split: Split | None
    told: str


class FeatureCache:
    """Keeps features for one run; those of a phase serve the next if it wants the same.

    Attributes:
        cache_policy: What the run config says of it.
        seed: Of the run.
    """

    def __init__(self, cache_policy: CachePolicy, seed: int, backbone: str) -> None:
        self.cache_policy = cache_policy
        self.seed = seed
        self._backbone = backbone
        self._held: dict[str, tuple[FeatureRequest, ModelDigest, CacheResult]] = {}
        self._disk_failed = False

    def keep(self, wanted: FeatureRequest) -> CacheResult:
        """Returns the features: those at hand, those of an earlier run, or computed now.

        Raises:
            ConfigError: They do not fit into the float16 that the config asks for.
        """
        if self.cache_policy.mode == "off":
            return CacheResult(None, OFF)
        model = digest_model(wanted.model)
        if not self._holds(wanted, model):
            self._held.pop(wanted.name, None)  # makes room in memory
            self._held[wanted.name] = (wanted, model, self._kept(wanted, model))
        return self._held[wanted.name][2]

    def _holds(self, wanted: FeatureRequest, model: ModelDigest) -> bool:
        if wanted.name not in self._held:
            return False
        before, its_model, _ = self._held[wanted.name]
        same_layers = model.layers is not None or wanted.model is before.model
        return wanted.is_like(before) and same_layers and model == its_model

    def place(self, wanted: FeatureRequest, is_nameable: bool) -> Place:
        """Returns where the features go; they are nameable if their model describes itself."""
        row = row_dtype(specs_of(wanted.model), self.cache_policy.dtype)
        size, count = wanted.split.size, len(wanted.views.variants)
        return place_for(
            self.cache_policy, row, size * count, is_nameable and not self._disk_failed
        )

    def _kept(self, wanted: FeatureRequest, model: ModelDigest) -> CacheResult:
        place = self.place(wanted, model.layers is not None)
        row = row_dtype(specs_of(wanted.model), self.cache_policy.dtype)
        if row is None or place.is_nowhere:
            return CacheResult(None, place.told)
        sets = []
        for one in wanted.sets(row):
            key = one.key(model) if place.on_disk else None
            found = self._rows(one, key, place)
            if found is None:
                return CacheResult(
                    None, "computed anew: the disk cannot be written to and read by all"
                )
            sets.append(found)
        fetch = fetch_from(sets, wanted.model, place.in_memory)
        split = replace(wanted.split, fetch=fetch, fetches_many=True, digests=None)
        return CacheResult(split, place.told)

    def _rows(self, one: FeatureSet, key: str | None, place: Place) -> np.ndarray | None:
        """Returns the rows of one set, or None where they can be neither held nor written."""
        import numpy as np

        found = None if key is None else one.find(key)
        if key is not None and everywhere(found):
            say(f"Found {one.title}, computed by an earlier run")
            return found
        if key is not None and not place.in_memory:
            written = self._write(one, key, one.compute())
            found = store.read(key, one.row, one.split.size) if written else None
            return found if everywhere(found) else None
        rows = np.empty(one.split.size, one.row)
        start = 0
        for block in one.compute():
            rows[start : start + len(block)] = block
            start += len(block)
        if key is not None:
            self._write(one, key, [rows])
        return rows

    def _write(self, one: FeatureSet, key: str, blocks: Iterable[np.ndarray]) -> bool:
        """Lets the chief write a set and says whether it could; if not, none tries any more."""
        if self._disk_failed:
            return False
        blocks = iter(blocks)
        try:
            if is_chief():
                one.write(key, blocks, self._backbone)
        except OSError as error:
            self._disk_failed = True
            say(
                f"Cannot keep features in {store.directory()}: {error.strerror}. The next "
                "run will not find them"
            )
        for _ in blocks:
            pass  # All workers compute them together, also for one that does not write.
        self._disk_failed = not min_over_workers(not self._disk_failed)
        return not self._disk_failed


def everywhere(found: np.ndarray | None) -> bool:
    """Says whether all workers have `found` something; they must all go the same way."""
    return bool(min_over_workers(found is not None))
