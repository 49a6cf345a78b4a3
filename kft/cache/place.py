"""Decides where cached rows go: memory, disk, both or nowhere, and says why."""

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
    """The settings of a run config that begin with ``cache``.

    Attributes:
        mode: Where decoded examples and features may go.
        views: Augmented variants of each training example whose features are cached; 0 caches none.
        dtype: What floating-point features are stored as.
    """

    mode: CacheMode = "auto"
    views: int = 0
    dtype: CacheDtype = "float32"


@dataclass(frozen=True)
class Place:
    """Where rows go.

    Attributes:
        in_memory: They are read from memory, else from disk.
        on_disk: A later run finds them.
        message: The same for people; why, if they go nowhere.
    """

    in_memory: bool
    on_disk: bool
    message: str

    @property
    def is_nowhere(self) -> bool:
        """Says whether they are computed whenever they are needed."""
        return not (self.in_memory or self.on_disk)


def place_for(mode: CacheMode, row: np.dtype[Any] | None, size: int, has_key: bool) -> Place:
    """Decides where `size` rows go, which are None if the bytes of one are not known beforehand.

    Only rows that have a key can be found again on disk. All workers get the same place.
    """
    if mode == "off":
        return Place(False, False, OFF)
    if row is None:
        return Place(False, False, "computed anew: how large they are is not known beforehand")
    needed = row.itemsize * size
    fits_memory = needed <= min_over_workers(passes.memory_budget())
    fits_disk = False
    if mode != "memory":
        fits_disk = needed <= min_over_workers(store.room() if has_key else -1)
    in_memory = fits_memory and not (mode == "disk" and fits_disk)
    return Place(in_memory, fits_disk, message_of(in_memory, fits_disk, needed, mode))


def message_of(in_memory: bool, on_disk: bool, needed: int, mode: CacheMode) -> str:
    """Says where rows of so many bytes in all go."""
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
    """The dtype of one example's features, with a field for each of `specs`, "0", "1" and so on.

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
