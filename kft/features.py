"""Every example is decoded once, and a frozen model runs over a split at one fixed batch size.

What is kept in memory is again a `Split`: it fetches what the next part of the model takes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kft.data import Split, Splits
from kft.errors import DataError
from kft.feature_key import DIGEST_BYTES, digest_each
from kft.input import Input
from kft.progress import track

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

# One size for every pass, the last batch padded: a feature differs by about 2e-6 between batch
# sizes, so a fixed one makes it independent of who asks.
PASS_SIZE = 64
NAMED_IN_MESSAGE = 10

_inference: weakref.WeakKeyDictionary[keras.Model, Callable[[Any], list[tf.Tensor]]] = (
    weakref.WeakKeyDictionary()
)


# Makes a variant of a batch of inputs; the indices of the examples come first.
Vary = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]


def memory_budget() -> int:
    """Returns how many bytes one kept split may take: a quarter of the memory that is free."""
    import psutil

    return int(psutil.virtual_memory().available) // 4


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


def read(splits: Splits, on_bad_input: str) -> Reading:
    """Decodes every example once, so that bad ones are known before anything is trained.

    Raises:
        DataError: Some cannot be read and `on_bad_input` is ``stop``, or none can.
    """
    decode = decoder_of(splits.input)
    passes = {
        name: decode_all(split, splits.input, f"Reading {split.size} {name} examples", decode)
        for name, split in splits.by_name().items()
    }
    bad = {name: why for part in passes.values() for name, why in part.bad.items()}
    empty = [name for name, part in passes.items() if not part.raw.size]
    refuse_bad(bad, "stop" if empty else on_bad_input)
    notes = splits.notes + ((f"left out {len(bad)} unreadable: {listing(bad)}",) if bad else ())
    raw = splits.with_splits({name: part.raw for name, part in passes.items()}, notes)
    decoded = splits.with_splits({name: part.decoded for name, part in passes.items()}, notes)
    return Reading(raw, decoded, bad)


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

    decoder: Callable[[tf.Tensor], tf.Tensor] = tf.function(input.decode)
    return decoder


def decode_all(
    split: Split,
    input: Input,
    title: str,
    decode: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> SplitPass:
    """Returns `split` without what cannot be read, as found and decoded.

    `decode` is the `decoder_of` the input, where other splits share it.
    """
    import numpy as np
    import tensorflow as tf

    decode = decode or decoder_of(input)
    array = room_for(split.size, input.spec)
    digests = np.zeros((split.size, DIGEST_BYTES), "uint8")
    good = np.zeros(split.size, bool)
    examples = (
        tf.data.Dataset.range(split.size)
        .map(
            lambda index: (index, decode(split.fetch(index))),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=False,
        )
        .ignore_errors()
        .batch(PASS_SIZE)
        .prefetch(2)
    )
    for indices, inputs in track(examples, title, -(-split.size // PASS_SIZE)):
        good[indices.numpy()] = True
        digests[indices.numpy()] = digest_each(inputs.numpy())
        if array is not None:
            array[indices.numpy()] = inputs.numpy()
    kept = np.flatnonzero(good).tolist()
    raw = split if good.all() else split.take(kept)
    array = array if array is None or good.all() else array[kept]
    decoded = replace(raw, **decoded_fetch(array, raw, input), digests=digests[kept])
    bad = {split.names[i]: why_bad(split, input, i) for i in np.flatnonzero(~good).tolist()}
    return SplitPass(raw, decoded, bad)


def room_for(size: int, spec: tf.TensorSpec) -> np.ndarray | None:
    """Returns an empty array for `size` tensors of `spec`, or None where it would not fit."""
    import numpy as np

    if not fits(size, spec):
        return None
    return np.empty((size, *spec.shape), spec.dtype.as_numpy_dtype)


def fits(size: int, *specs: tf.TensorSpec) -> bool:
    """Says whether `size` tensors of each of `specs` may be kept in memory.

    Those whose size is not known beforehand may not.
    """
    if not all(
        spec.shape.is_fully_defined() and (spec.dtype.is_floating or spec.dtype.is_integer)
        for spec in specs
    ):
        return False
    each = sum(spec.shape.num_elements() * spec.dtype.size for spec in specs)
    return bool(size * each <= memory_budget())


def decoded_fetch(array: np.ndarray | None, split: Split, input: Input) -> dict[str, Any]:
    """Returns how a split fetches decoded examples: out of `array`, or by decoding them again."""
    if array is None:
        return {"fetch": lambda index: input.decode(split.fetch(index)), "fetches_many": False}
    return {"fetch": from_memory(array), "fetches_many": True}


def from_memory(*arrays: np.ndarray) -> Callable[[tf.Tensor], Any]:
    """Returns what fetches a row of the array, or a tuple with a row of each of several."""
    import tensorflow as tf

    held = [tf.constant(array) for array in arrays]
    if len(held) == 1:
        return lambda index: tf.gather(held[0], index)
    return lambda index: tuple(tf.gather(rows, index) for rows in held)


def why_bad(split: Split, input: Input, index: int) -> str:
    """Returns the reason why an example cannot be read, in one line."""
    import tensorflow as tf

    try:
        input.decode(split.fetch(tf.constant(index, "int64")))
    except tf.errors.OpError as error:
        return str(error.message).splitlines()[0].split("{{")[-1].split("}} ")[-1]
    return "it failed once, and was read when tried again"


def listing(bad: Mapping[str, str]) -> str:
    """Returns the first few of `bad` with their reasons."""
    shown = [f"{name} ({why})" for name, why in list(bad.items())[:NAMED_IN_MESSAGE]]
    more = len(bad) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def outputs_of(model: keras.Model, split: Split, title: str) -> list[np.ndarray]:
    """Returns each output of `model` for every example of `split`, in order, in inference mode.

    Every array has shape ``(size, …)``.
    """
    import numpy as np

    arrays = [
        np.empty((split.size, *spec.shape), spec.dtype.as_numpy_dtype) for spec in specs_of(model)
    ]
    start = 0
    for outputs in output_batches(model, split, title):
        for array, output in zip(arrays, outputs, strict=True):
            array[start : start + len(output)] = output
        start += len(outputs[0])
    return arrays


def output_batches(
    model: keras.Model, split: Split, title: str, vary: Vary | None = None
) -> Iterator[list[np.ndarray]]:
    """Yields what `outputs_of` returns, of `PASS_SIZE` examples at a time, the last ones fewer.

    The examples are those that `vary` makes of a batch and its indices, if it is given.
    """
    import tensorflow as tf

    infer = inference_of(model)
    batches = split.fetched(tf.data.Dataset.range(split.size).batch(PASS_SIZE), PASS_SIZE)
    if vary is not None:
        batches = batches.map(vary, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        batches = batches.map(lambda _, inputs: inputs)
    batches = batches.map(padded).prefetch(2)
    for number, inputs in enumerate(track(batches, title, -(-split.size // PASS_SIZE))):
        size = min(PASS_SIZE, split.size - number * PASS_SIZE)
        yield [output.numpy()[:size] for output in infer(inputs)]


def inference_of(model: keras.Model) -> Callable[[Any], list[tf.Tensor]]:
    """Returns what computes each output of `model` in inference mode, the same for all who ask.

    One graph for all splits: to trace that of a large model takes seconds.
    """
    import tensorflow as tf

    from kft.fold import infer

    if model not in _inference:
        # What is kept for as long as the model lives may not keep it alive.
        weak = weakref.proxy(model)

        @tf.function(reduce_retracing=True)
        def outputs_of(inputs: Any) -> list[tf.Tensor]:
            inputs = list(inputs) if isinstance(inputs, tuple) else inputs
            return list(tf.nest.flatten(infer(weak, inputs)))

        _inference[model] = outputs_of
    return _inference[model]


def specs_of(model: keras.Model) -> list[tf.TensorSpec]:
    """Returns the shape and dtype of each output of `model`, without the batch dimension."""
    import tensorflow as tf

    # A Sequential model that was not called has no `output`, and a subclassed one no `outputs`.
    outputs = getattr(model, "outputs", None) or tf.nest.flatten(model.output)
    return [tf.TensorSpec(tensor.shape[1:], tensor.dtype) for tensor in outputs]


def padded(*inputs: tf.Tensor) -> Any:
    """Returns a batch of `PASS_SIZE`, its last example repeated where it was smaller."""
    import tensorflow as tf

    rows = tf.minimum(tf.range(PASS_SIZE), tf.shape(inputs[0])[0] - 1)
    whole = tuple(tf.gather(each, rows) for each in inputs)
    return whole if len(whole) > 1 else whole[0]
