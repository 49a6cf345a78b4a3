"""Every example is decoded once, before anything is trained, and cached in memory or on disk.

So a damaged one is known early, and no epoch decodes again what fits somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from kft.cache.cached_rows import RowCache, computed_rows, fetch_from_disk, rows_in_memory
from kft.cache.decoded_rows import EXAMPLE, DecodedRows, key_of, row_dtype
from kft.cache.inference import has_size
from kft.cache.key import DIGEST
from kft.cache.place import place_for
from kft.cache.row_file import RowFile
from kft.cache.unchanged import verified
from kft.data import Split, Splits
from kft.errors import DataError
from kft.host_memory import from_memory
from kft.input import Input
from kft.messages import asserted, clauses
from kft.storage.files import is_remote, local_fault

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from kft.cache.place import CacheMode

NAMED_IN_MESSAGE = 10


@dataclass(frozen=True)
class Reading:
    """All examples, read once.

    Attributes:
        raw: The splits as found, without the examples that cannot be read.
        decoded: The same; `Split.fetch` gives what the model takes, from memory or disk, or else
            decodes again.
        bad: What cannot be read, with the reason, by name.
    """

    raw: Splits
    decoded: Splits
    bad: dict[str, str]


def read(splits: Splits, on_bad_input: str, cache: CacheMode = "off") -> Reading:
    """Decodes every example once, so that bad ones are known before anything is trained.

    `cache` says where decoded examples may be cached, as in a run config.

    Raises:
        DataError: Some cannot be read and `on_bad_input` is ``stop``, or none can.
    """
    decode = decoder_of(splits.input)
    passes = {
        name: decode_all(
            split, splits.input, f"Reading {splits.input.counted(split.size, name)}", decode, cache
        )
        for name, split in splits.by_name().items()
    }
    bad = {name: why for part in passes.values() for name, why in part.bad.items()}
    empty = [name for name, part in passes.items() if not part.raw.size]
    refuse_bad(bad, "stop" if empty else on_bad_input)
    notes = (*splits.notes, *notes_of(bad))
    raw = splits.with_splits({name: part.raw for name, part in passes.items()}, notes)
    decoded = splits.with_splits({name: part.decoded for name, part in passes.items()}, notes)
    return Reading(raw, decoded, bad)


def notes_of(bad: Mapping[str, str]) -> tuple[str, ...]:
    """A note for people on the examples that were left out, if any are `bad`."""
    return (f"left out {len(bad)} unreadable: {listing(bad)}",) if bad else ()


def refuse_bad(bad: Mapping[str, str], on_bad_input: str) -> None:
    """Raises DataError if there are `bad` examples and the config does not skip them."""
    if bad and on_bad_input == "stop":
        raise DataError(
            where="data",
            problem=f"{len(bad)} of the examples cannot be read: {listing(bad)}",
            fix='Replace or remove these examples, or set data.on_bad_input to "skip"',
        )


@dataclass(frozen=True)
class SplitPass:
    """One split, read once; the attributes are as those of `Reading`."""

    raw: Split
    decoded: Split
    bad: dict[str, str]


def decoder_of(input: Input) -> Callable[[tf.Tensor], tf.Tensor]:
    """`Input.decode` as one graph for all splits: to trace that of pictures takes a second."""
    import tensorflow as tf

    # kft's own inputs are ops alone; to look for Python conditions in them takes another second.
    own = type(input).__module__.startswith("kft.")
    decoder: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        partial(decoded, input), autograph=not own
    )
    return decoder


def decoded(input: Input, raw: tf.Tensor) -> tf.Tensor:
    """Decodes a raw example, which must get the shape that `input` says.

    Raises:
        tf.errors.InvalidArgumentError: It has another, or is damaged.
    """
    import tensorflow as tf

    return tf.ensure_shape(input.decode(raw), input.spec.shape)


def decode_all(
    split: Split,
    input: Input,
    title: str,
    decode: Callable[[tf.Tensor], tf.Tensor] | None = None,
    cache: CacheMode = "off",
) -> SplitPass:
    """Decodes each example of `split` and leaves out what cannot be read.

    `title` is for the progress; `decode` is the `decoder_of` the input, where splits share it.
    """
    import numpy as np

    decode = decode or decoder_of(input)
    rows = read_rows(split, input, title, decode, cache)
    digests = rows.read(np.arange(rows.size), DIGEST) if isinstance(rows, RowFile) else rows[DIGEST]
    is_good = digests.any(axis=1)
    good = np.flatnonzero(is_good)
    raw = split if is_good.all() else split.take(good.tolist())
    with rows_in_memory(title):
        decoded = replace(raw, **decoded_fetch(rows, good, raw, decode), digests=digests[good])
    bad = {split.names[i]: why_bad(split, input, i) for i in np.flatnonzero(~is_good).tolist()}
    return SplitPass(raw, decoded, bad)


def read_rows(
    split: Split,
    input: Input,
    title: str,
    decode: Callable[[tf.Tensor], tf.Tensor],
    cache: CacheMode,
) -> np.ndarray | RowFile:
    """A row for each example, ``(size,)``, wherever there is room; else digests alone."""
    # Without a cache they are in memory all the same: epochs that decode again would be slow.
    mode = "memory" if cache == "off" else cache
    key = None if mode == "memory" else key_of(split, input)
    row = row_dtype(input.spec) if has_size(input.spec) else None
    place = place_for(mode, row, split.size, key is not None)
    cached = None
    if row is not None and not place.is_nowhere:
        key = key if place.on_disk else None
        rows = DecodedRows(split, row, key, title, {"kind": "decoded"}, input, decode)
        cached = RowCache().get(rows, place.in_memory)
    if cached is not None:
        return cached
    return computed_rows(DecodedRows(split, row_dtype(None), None, title, {}, input, decode))


def decoded_fetch(
    rows: np.ndarray | RowFile,
    good: np.ndarray,
    split: Split,
    decode: Callable[[tf.Tensor], tf.Tensor],
) -> dict[str, Any]:
    """How a split fetches decoded examples, as attributes of `Split`.

    They are those of the rows at the indices `good`, or `split` is decoded whenever it is fetched.
    """
    if isinstance(rows, RowFile):
        fetch = fetch_from_disk(
            lambda index: [rows.read(good[index], EXAMPLE)], [rows.row[EXAMPLE]]
        )
        return {"fetch": lambda index: fetch(index)[0], "fetches_many": True}
    if EXAMPLE in (rows.dtype.names or ()):
        return {"fetch": from_memory(rows[EXAMPLE][good]), "fetches_many": True}
    verify = verified(lambda index: decode(split.fetch(index)), rows[DIGEST][good])
    return {"fetch": verify, "fetches_many": False}


def why_bad(split: Split, input: Input, index: int) -> str:
    """The reason why an example cannot be read, in one line."""
    import tensorflow as tf

    file = split.files[index] if split.files else None
    fault = None if file is None or is_remote(file) else local_fault(file)
    if fault is not None:
        return fault
    try:
        decoded(input, split.fetch(tf.constant(index, "int64")))
    except tf.errors.OpError as error:
        message = str(error.message).splitlines()[0].split("{{")[-1].split("}} ")[-1]
        message = message.split(" [Op:")[0]  # what TensorFlow adds where it runs eagerly
        if split.files:
            message = message.replace(split.files[index], split.names[index])
        return asserted(message)
    return "it failed once, and was read when tried again"


def listing(bad: Mapping[str, str]) -> str:
    """The first few of `bad` with their reasons."""
    return clauses([f"{name} ({why})" for name, why in bad.items()], NAMED_IN_MESSAGE)
