"""Examples that are decoded whenever they are fetched must stay what they were when first read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kft.cache.key import digest_each
from kft.data import Split
from kft.errors import DataError
from kft.host_memory import from_memory
from kft.messages import listed
from kft.pipeline.autotune import without_autotune

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

NAMED_IN_MESSAGE = 3
AT_ONCE = 64


def verified(
    fetch: Callable[[tf.Tensor], tf.Tensor], digests: np.ndarray
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes `fetch`, of one decoded example, fail where its digest is another.

    `digests` are those of all examples, uint8 ``(size, 16)``.
    """
    import tensorflow as tf

    known = from_memory(digests)

    def fetch_verified(index: tf.Tensor) -> tf.Tensor:
        example = fetch(index)
        digest = tf.numpy_function(digest_each, [example[tf.newaxis]], tf.uint8, stateful=False)
        same = tf.reduce_all(digest[0] == known(index))
        # The op itself, since autograph would not leave `tf.debugging.Assert` alone.
        check = tf.raw_ops.Assert(condition=same, data=["changed since it was read:", index])
        with tf.control_dependencies([] if check is None else [check]):
            return tf.identity(example)

    return fetch_verified


@contextmanager
def changes_as_error(*splits: Split) -> Iterator[None]:
    """Names the examples of decoded `splits` that have changed, if that is why TensorFlow fails."""
    import tensorflow as tf

    errors = tf.errors
    kinds = (
        errors.InvalidArgumentError,
        errors.NotFoundError,
        errors.PermissionDeniedError,
        errors.FailedPreconditionError,
        errors.OutOfRangeError,
        errors.DataLossError,
        errors.UnknownError,
    )
    try:
        yield
    except kinds as error:
        names = [name for split in splits for name in changed(split)]
        if not names:
            raise
        raise DataError(
            where="data",
            problem=f"{len(names)} of the examples are not what they were when they were read: "
            + listed(names, NAMED_IN_MESSAGE),
            fix="Restore them and leave them unchanged while a run reads them, or start a new run",
        ) from error


def changed(split: Split) -> list[str]:
    """The names of the examples that cannot be fetched as they were read."""
    import tensorflow as tf

    if split.fetches_many or split.digests is None:
        return []  # They are in memory, or in a file that nobody writes to.

    @tf.autograph.experimental.do_not_convert
    def one(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return index, tf.shape(tf.nest.flatten(split.fetch(index))[0])[:0]

    each = tf.data.Dataset.range(split.size).map(one, num_parallel_calls=tf.data.AUTOTUNE)
    good = without_autotune(each.map(lambda index, _: index).ignore_errors().batch(AT_ONCE))
    unchanged = {int(index) for batch in good for index in batch}
    return [name for index, name in enumerate(split.names) if index not in unchanged]
