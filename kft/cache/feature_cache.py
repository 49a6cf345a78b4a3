"""What frozen layers give is computed once, and then read from memory or disk.

Cached features are again a `Split`: it fetches what the rest of the model takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kft.cache.cached_rows import RowCache, rows_in_memory
from kft.cache.feature_rows import FeatureRows, fetch_features
from kft.cache.inference import PASS_SIZE, specs_of
from kft.cache.key import ModelDigest, digest_model, digests_of, key_of
from kft.cache.place import OFF, CachePolicy, Place, place_for, row_dtype
from kft.cache.views import Views
from kft.data import Split
from kft.rounding import arithmetic

if TYPE_CHECKING:
    import keras
    import numpy as np

NO_DISK = "computed anew: the disk cannot be written to and read by all"


@dataclass(frozen=True, eq=False)
class FeatureRequest:
    """Features that a phase can use.

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

    def is_like(self, other: FeatureRequest) -> bool:
        """Says whether the examples are those of `other`."""
        mine, others = self.views.variants, other.views.variants
        same_views = [view.settings for view in mine] == [view.settings for view in others]
        return self.split is other.split and same_views

    def rows(
        self, row: np.dtype[Any], backbone: str, model: ModelDigest | None
    ) -> Iterator[FeatureRows]:
        """Yields the rows of each view; without the digest of the `model` they have no key."""
        count, rounds = len(self.views.variants), arithmetic()
        for number, view in enumerate(self.views.variants, start=1):
            one_of = f", view {number} of {count}" if count > 1 else ""
            title = f"Computing the features of {self.name}{one_of}"
            contents = {"kind": "features", "backbone": backbone, "view": view.settings}
            rest = {"view": view.settings, "row": str(row), "batch": PASS_SIZE}
            if rounds != "CPU":
                rest["arithmetic"] = rounds
            key = None if model is None else key_of(model, digests_of(self.split, PASS_SIZE), rest)
            yield FeatureRows(self.split, row, key, title, contents, self.model, view)


@dataclass(frozen=True, eq=False)
class CacheResult:
    """Cached features, or why there are none.

    Attributes:
        split: Fetches the features, variant ``v`` of an example at ``index + v * size``. None if
            they are not cached.
        message: Where they are or why not, for people.
    """

    split: Split | None
    message: str


class FeatureCache:
    """The features of one run; those of a phase serve the next if it asks for the same.

    Attributes:
        cache_policy: What the run config says of it.
        seed: Of the run.
    """

    def __init__(self, cache_policy: CachePolicy, seed: int, backbone: str) -> None:
        self.cache_policy = cache_policy
        self.seed = seed
        self._backbone = backbone
        self._rows = RowCache()
        self._results: dict[str, tuple[FeatureRequest, ModelDigest, CacheResult]] = {}

    def get(self, request: FeatureRequest) -> CacheResult:
        """Gives the features: those of the last request, those of an earlier run, or computed now.

        Raises:
            ConfigError: They do not fit into the float16 that the config asks for.
        """
        if self.cache_policy.mode == "off":
            return CacheResult(None, OFF)
        model = digest_model(request.model)
        if not self._has(request, model):
            self._results.pop(request.name, None)  # makes room in memory
            self._results[request.name] = (request, model, self._result(request, model))
        return self._results[request.name][2]

    def _has(self, request: FeatureRequest, model: ModelDigest) -> bool:
        if request.name not in self._results:
            return False
        before, its_model, _ = self._results[request.name]
        same_layers = model.layers is not None or request.model is before.model
        return request.is_like(before) and same_layers and model == its_model

    def place(self, request: FeatureRequest, has_key: bool) -> Place:
        """Says where the features go; they have a key if their model describes itself."""
        row = row_dtype(specs_of(request.model), self.cache_policy.dtype)
        size = request.split.size * len(request.views.variants)
        has_key = has_key and not self._rows.disk_failed
        return place_for(self.cache_policy.mode, row, size, has_key)

    def _result(self, request: FeatureRequest, model: ModelDigest) -> CacheResult:
        place = self.place(request, model.layers is not None)
        row = row_dtype(specs_of(request.model), self.cache_policy.dtype)
        if row is None or place.is_nowhere:
            return CacheResult(None, place.message)
        sets = []
        for rows in request.rows(row, self._backbone, model if place.on_disk else None):
            cached = self._rows.get(rows, place.in_memory)
            if cached is None:
                return CacheResult(None, NO_DISK)
            sets.append(cached)
        with rows_in_memory(f"the features of {request.name}"):
            fetch = fetch_features(sets, request.model)
        split = replace(request.split, fetch=fetch, fetches_many=True, digests=None)
        return CacheResult(split, place.message)
