"""A frozen model runs over a split at one fixed batch size.

Features and scores are computed like this.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kft.cache.unchanged import changes_as_error
from kft.data import Split
from kft.distribute.cluster import by_replica, replicas, shared_out
from kft.distribute.shares import BatchSharding
from kft.out_of_memory import out_of_memory_as_error
from kft.pipeline.autotune import without_autotune
from kft.progress import track

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

# One size for every pass, the last batch padded: a feature differs by about 2e-6 between batch
# sizes, so a fixed one makes it independent of who asks.
PASS_SIZE = 64
SMALLER = (
    "End other programs that hold memory, make the examples smaller, or set precision to "
    "'mixed_bfloat16'"
)

_inference: weakref.WeakKeyDictionary[keras.Model, Callable[[Any], list[tf.Tensor]]] = (
    weakref.WeakKeyDictionary()
)


# Makes a variant of a batch of inputs; the indices of the examples come first.
Vary = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]


def memory_budget() -> int:
    """How many bytes the rows of one split may take: a quarter of the memory that is free."""
    import psutil

    return int(psutil.virtual_memory().available) // 4


def has_size(spec: tf.TensorSpec) -> bool:
    """Says whether it is known beforehand how large a tensor of `spec` is, as of no string."""
    numbers = spec.dtype.is_floating or spec.dtype.is_integer or spec.dtype.is_bool
    return bool(spec.shape.is_fully_defined() and numbers)


def outputs_of(model: keras.Model, split: Split, title: str) -> list[np.ndarray]:
    """Each output of `model` for every example of `split`, in order, in inference mode.

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
    """Yields the outputs of `PASS_SIZE` examples at a time, each ``(n, …)``; the last have fewer.

    The examples are those that `vary` makes of a batch and its indices, if it is given.
    """
    infer = inference_of(model)
    count = -(-split.size // PASS_SIZE)
    batches = shared_out(lambda shares: pass_batches(split, shares, vary))
    done = 0
    doing = f"a pass over {PASS_SIZE} examples at once"
    with changes_as_error(split), out_of_memory_as_error(title, doing, SMALLER):
        for numbers, inputs in track(batches, title, -(-count // replicas())):
            batch = {int(number[0]): out for number, out in by_replica((numbers, infer(inputs)))}
            while done in batch:
                size = min(PASS_SIZE, split.size - done * PASS_SIZE)
                yield [output.numpy()[:size] for output in batch[done]]
                done += 1


def pass_batches(split: Split, shares: BatchSharding, vary: Vary | None) -> tf.data.Dataset:
    """The batches of a pass that the devices of this process compute.

    Each comes with its number, ``(1,)``, and inputs for `PASS_SIZE` examples. Devices take turns;
    where batches run out, the last is computed by several.
    """
    import tensorflow as tf

    count = -(-split.size // PASS_SIZE)
    rounds = -(-count // shares.replicas)

    def number_of(element: tf.Tensor) -> tf.Tensor:
        turn = element // shares.here * shares.replicas
        return tf.reshape(tf.minimum(turn + shares.replica(element), count - 1), [1])

    def places(number: tf.Tensor) -> tf.Tensor:
        start = number[0] * PASS_SIZE
        end = tf.minimum(start + PASS_SIZE, split.size)
        # `Split.fetched` takes no short batch but the last, and here several may be.
        whole = start + tf.range(PASS_SIZE, dtype="int64")
        return tf.range(start, end) if shares.replicas == 1 else tf.minimum(whole, end - 1)

    numbers = tf.data.Dataset.range(rounds * shares.here).map(number_of)
    batches = split.fetched(numbers.map(places), PASS_SIZE)
    if vary is not None:
        batches = batches.map(vary, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        batches = batches.map(lambda _, inputs: inputs)
    return without_autotune(tf.data.Dataset.zip((numbers, batches.map(padded))).prefetch(2))


def inference_of(model: keras.Model) -> Callable[[Any], list[tf.Tensor]]:
    """Makes a function that computes each output of `model` in inference mode.

    One graph for all splits: to trace that of a large model takes seconds.
    """
    import tensorflow as tf

    from kft.layers.fold import infer

    if model not in _inference:
        # A value of the weak dictionary may not keep its key alive.
        weak = weakref.proxy(model)

        def answer(inputs: Any) -> list[tf.Tensor]:
            inputs = list(inputs) if isinstance(inputs, tuple) else inputs
            return list(tf.nest.flatten(infer(weak, inputs)))

        strategy = tf.distribute.get_strategy()

        # Keras trains without autograph too.
        @tf.function(reduce_retracing=True, autograph=False)
        def outputs_of(inputs: Any) -> list[Any]:
            return list(strategy.run(answer, args=(inputs,)))

        _inference[model] = outputs_of
    return _inference[model]


def predict_one_batch(model: keras.Model, inputs: Any) -> Any:
    """The outputs of `model` for one batch, in inference mode, on the first device."""
    import tensorflow as tf

    # A function restored in the scope of a strategy can only be called on its devices.
    strategy = tf.distribute.get_strategy()
    answers = strategy.run(lambda: model(inputs, training=False))
    return tf.nest.map_structure(
        lambda answer: strategy.experimental_local_results(answer)[0], answers
    )


def specs_of(model: keras.Model) -> list[tf.TensorSpec]:
    """The shape and dtype of each output of `model`, without the batch dimension."""
    import tensorflow as tf

    # A Sequential model that was not called has no `output`, and a subclassed one no `outputs`.
    outputs = getattr(model, "outputs", None) or tf.nest.flatten(model.output)
    return [tf.TensorSpec(tensor.shape[1:], tensor.dtype) for tensor in outputs]


def padded(*inputs: tf.Tensor) -> Any:
    """Repeats the last example of a smaller batch, so that there are `PASS_SIZE`."""
    import tensorflow as tf

    rows = tf.minimum(tf.range(PASS_SIZE), tf.shape(inputs[0])[0] - 1)
    whole = tuple(tf.gather(each, rows) for each in inputs)
    return whole if len(whole) > 1 else whole[0]
