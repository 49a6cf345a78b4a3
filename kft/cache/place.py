"""Decides where kept features go: memory, disk, both or nowhere, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kft.cache import inference as passes
from kft.cache import store
from kft.distribute.cluster import min_over_workers
from kft.messages import in_words

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

CacheMode = Literal["auto", "memory", "disk", "off"]
CacheDtype = Literal["float32", "float16"]
OFF = "computed anew: cache is off"


@dataclass(frozen=True)
class CachePolicy:
    """How a run keeps features; the settings of a run config that begin with ``cache``.

    Attributes:
        mode: Where they may go.
        views: Augmented variants of each training example to keep; 0 keeps none.
        dtype: What floating-point features are stored as.
    """

    mode: CacheMode = "auto"
    views: int = 0
    dtype: CacheDtype = "float32"


@dataclass(frozen=True)
class Place:
    """Where features go.

    Attributes:
        in_memory: They are read from memory, else from disk.
        on_disk: A later run finds them.
        told: The same for people; why, if they are not kept.
    """

    in_memory: bool
    on_disk: bool
    told: str

    @property
    def is_nowhere(self) -> bool:
        """Says whether they are not kept."""
        return not (self.in_memory or self.on_disk)


def place_for(
    cache_policy: CachePolicy, row: np.dtype[Any] | None, rows: int, nameable: bool
) -> Place:
    """Returns where so many rows go, which are None if their size is not known beforehand.

    Only features that are `nameable`, by what they depend on, can be found again on disk.
    """
    if cache_policy.mode == "off":
        return Place(False, False, OFF)
    if row is None:
        return Place(False, False, "computed anew: how large they are is not known beforehand")
    needed = row.itemsize * rows
    small = needed <= min_over_workers(passes.memory_budget())
    roomy = cache_policy.mode != "memory" and nameable and needed <= min_over_workers(store.room())
    in_memory = small and not (cache_policy.mode == "disk" and roomy)
    return Place(in_memory, roomy, told_of(in_memory, roomy, needed, cache_policy.mode))


def told_of(in_memory: bool, on_disk: bool, needed: int, mode: CacheMode) -> str:
    """Returns where features of so many bytes go, in words."""
    size = in_words(needed)
    if in_memory and on_disk:
        return f"{size} in memory, and on disk for the next run"
    if on_disk:
        return f"{size} on disk"
    if in_memory:
        missing = "" if mode == "memory" else "; the disk cannot keep them for the next run"
        return f"{size} in memory{missing}"
    allowed = f"the {in_words(passes.memory_budget())} of memory that they may have"
    if mode != "memory":
        allowed += f" and the {in_words(store.room())} of disk"
    return f"computed anew: {size} are more than {allowed}"


def row_dtype(specs: Sequence[tf.TensorSpec], stored: CacheDtype) -> np.dtype[Any] | None:
    """Returns the dtype of one example's features, a field for each of `specs`.

    None if their size is not known beforehand. Integers and short floats stay as they are.
    """
    import numpy as np

    fields = []
    for number, spec in enumerate(specs):
        if not passes.has_size(spec):
            return None
        halved = stored == "float16" and spec.dtype.is_floating and spec.dtype.size > 2
        kind = np.float16 if halved else spec.dtype.as_numpy_dtype
        fields.append((str(number), kind, tuple(spec.shape)))
    return np.dtype(fields)
