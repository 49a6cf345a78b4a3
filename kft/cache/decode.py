"""Every example is decoded once, before anything is trained, and kept: in memory or on disk.

So a damaged one is known early, and no epoch decodes again what fits somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from kft.cache.decoded_rows import Prepared, RowsOnDisk, prepared_of, row_of
from kft.cache.inference import PASS_SIZE, fits, from_memory
from kft.cache.key import digest_each
from kft.cache.unchanged import verified
from kft.data import Split, Splits
from kft.distribute.cluster import is_chief
from kft.errors import DataError
from kft.input import Input
from kft.messages import asserted
from kft.pipeline.autotune import without_autotune
from kft.progress import say, track
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
        decoded: The same; `Split.fetch` gives what the model takes. In memory if they fit, else
            decoded again whenever they are fetched.
        bad: What cannot be read, with the reason, by name.
    """

    raw: Splits
    decoded: Splits
    bad: dict[str, str]


def read(splits: Splits, on_bad_input: str, cache: CacheMode = "off") -> Reading:
    """Decodes every example once, so that bad ones are known before anything is trained.

    `cache` says where decoded examples may be kept, as in a run config.

    Raises:
        DataError: Some cannot be read and `on_bad_input` is ``stop``, or none can.
    """
    decode = decoder_of(splits.input)
    passes = {
        name: decode_all(
            split, splits.input, f"Reading {split.size} {name} examples", decode, cache
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
    """Returns what a person should know of examples that were left out since they are `bad`."""
    return (f"left out {len(bad)} unreadable: {listing(bad)}",) if bad else ()


def refuse_bad(bad: Mapping[str, str], on_bad_input: str) -> None:
    """Raises DataError if there are `bad` examples and the config does not skip them."""
    if bad and on_bad_input == "stop":
        raise DataError(
            where="data",
            problem=f"{len(bad)} of the examples cannot be read: {listing(bad)}",
            fix='Mend them or take them away, or set data.on_bad_input to "skip"',
        )


@dataclass(frozen=True)
class SplitPass:
    """What reading one split gave; the attributes are as those of `Reading`."""

    raw: Split
    decoded: Split
    bad: dict[str, str]


def decoder_of(input: Input) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns `Input.decode` as one graph for all splits: that of pictures takes a second."""
    import tensorflow as tf

    # kft's own inputs are ops alone; to look for Python conditions in them takes another second.
    own = type(input).__module__.startswith("kft.")
    decoder: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        partial(decoded, input), autograph=not own
    )
    return decoder


def decoded(input: Input, raw: tf.Tensor) -> tf.Tensor:
    """Returns what `input` makes of a raw example, which must have the shape that it says.

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
    """Returns `split` without what cannot be read, as found and decoded.

    `decode` is the `decoder_of` the input, where other splits share it.
    """
    import numpy as np

    decode = decode or decoder_of(input)
    in_memory = fits(split.size, input.spec)
    prepared = prepared_of(split, input) if cache in ("auto", "disk") else None
    if prepared is not None and cache == "disk":
        in_memory = False
    rows = rows_of(Decoding(split, decode, title), prepared, input.spec if in_memory else None)
    digests = rows.digests if isinstance(rows, RowsOnDisk) else rows["digest"]
    good = digests.any(axis=1)
    kept = np.flatnonzero(good)
    raw = split if good.all() else split.take(kept.tolist())
    decoded = replace(raw, **decoded_fetch(rows, kept, raw, decode), digests=digests[kept])
    bad = {split.names[i]: why_bad(split, input, i) for i in np.flatnonzero(~good).tolist()}
    return SplitPass(raw, decoded, bad)


@dataclass(frozen=True, eq=False)
class Decoding:
    """One pass over the examples of a split."""

    split: Split
    decode: Callable[[tf.Tensor], tf.Tensor]
    title: str

    def rows(self, row: np.dtype[Any]) -> Iterator[np.ndarray]:
        """Yields a row for each example, in blocks, in order; zeros where one cannot be read."""
        import numpy as np

        size = self.split.size
        start = 0
        batches = readable(self.split, lambda raw: (self.decode(raw),))
        for indices, inputs in track(batches, self.title, -(-size // PASS_SIZE)):
            block = np.zeros(int(indices[-1]) + 1 - start, row)
            places = indices.numpy() - start
            block["digest"][places] = digest_each(inputs.numpy())
            if "input" in (row.names or ()):
                block["input"][places] = inputs
            start += len(block)
            yield block
        yield np.zeros(size - start, row)


def readable(split: Split, look: Callable[[tf.Tensor], tuple[tf.Tensor, ...]]) -> tf.data.Dataset:
    """Returns batches ``(indices, …)`` of what `look` makes of each raw example, in order.

    What cannot be read is left out.
    """
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert
    def one(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return index, *look(split.fetch(index))

    each = tf.data.Dataset.range(split.size).map(one, num_parallel_calls=tf.data.AUTOTUNE)
    return without_autotune(each.ignore_errors().batch(PASS_SIZE).prefetch(2))


def rows_of(
    decoding: Decoding, prepared: Prepared | None, in_memory: tf.TensorSpec | None
) -> np.ndarray | RowsOnDisk:
    """Returns a row for each example: those of an earlier run, or decoded now.

    In memory if their spec is given, else on disk if they are prepared there, else digests alone.
    """
    import numpy as np

    found = None if prepared is None else prepared.find()
    if found is not None:
        say(f"{decoding.title}: an earlier run decoded them")
    if prepared is not None and found is None and in_memory is None:
        found = prepared.find() if prepared.write(decoding.rows(prepared.row)) else None
    if found is not None:
        return found if in_memory is None else found.take(np.arange(len(found.digests)))
    rows = np.empty(decoding.split.size, row_of(in_memory))
    start = 0
    for block in decoding.rows(rows.dtype):
        rows[start : start + len(block)] = block
        start += len(block)
    if prepared is not None and in_memory is not None and is_chief():
        prepared.write([rows])
    return rows


def decoded_fetch(
    rows: np.ndarray | RowsOnDisk,
    kept: np.ndarray,
    split: Split,
    decode: Callable[[tf.Tensor], tf.Tensor],
) -> dict[str, Any]:
    """Returns how a split fetches decoded examples: the rows `kept`, or by decoding them again."""
    if isinstance(rows, RowsOnDisk):
        return {"fetch": rows.fetch(kept), "fetches_many": True}
    if "input" in (rows.dtype.names or ()):
        return {"fetch": from_memory(rows["input"][kept]), "fetches_many": True}
    fetch = verified(lambda index: decode(split.fetch(index)), rows["digest"][kept])
    return {"fetch": fetch, "fetches_many": False}


def why_bad(split: Split, input: Input, index: int) -> str:
    """Returns the reason why an example cannot be read, in one line."""
    import tensorflow as tf

    file = split.files[index] if split.files else None
    fault = None if file is None or is_remote(file) else local_fault(file)
    if fault is not None:
        return fault
    try:
        decoded(input, split.fetch(tf.constant(index, "int64")))
    except tf.errors.OpError as error:
        told = str(error.message).splitlines()[0].split("{{")[-1].split("}} ")[-1]
        told = told.split(" [Op:")[0]  # what TensorFlow adds where it runs eagerly
        if split.files:
            told = told.replace(split.files[index], split.names[index])
        return asserted(told)
    return "it failed once, and was read when tried again"


def listing(bad: Mapping[str, str]) -> str:
    """Returns the first few of `bad` with their reasons."""
    shown = [f"{name} ({why})" for name, why in list(bad.items())[:NAMED_IN_MESSAGE]]
    more = len(bad) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
