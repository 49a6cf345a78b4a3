"""Decoded examples as cached rows, so that neither the epochs nor the next run decode again.

The key is made of the path, size and time of every file and of how the input reads them, as build
tools do it: to digest the files would take as long as to read them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from kft import __version__
from kft.cache.cached_rows import CachedRows
from kft.cache.inference import PASS_SIZE
from kft.cache.key import DIGEST, DIGEST_BYTES, digest_each
from kft.cache.row_file import RowFile
from kft.data import Split
from kft.input import Input
from kft.pipeline.autotune import without_autotune
from kft.progress import track
from kft.storage.digests import digests_of

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

EXAMPLE = "input"


@dataclass(frozen=True, eq=False)
class DecodedRows(CachedRows):
    """Examples as `decode` makes them of raw ones, with their digests.

    An example that cannot be read is a row of zeros. Without the field `EXAMPLE` the rows are
    digests alone.
    """

    input: Input
    decode: Callable[[tf.Tensor], tf.Tensor]

    def compute(self) -> Iterator[np.ndarray]:
        """Yields the rows in order, in blocks ``(n,)``."""
        import numpy as np

        start = 0
        batches = readable(self.split, lambda raw: (self.decode(raw),))
        for indices, examples in track(batches, self.title, -(-self.size // PASS_SIZE)):
            block = np.zeros(int(indices[-1]) + 1 - start, self.row)
            places = indices.numpy() - start
            block[DIGEST][places] = digest_each(examples.numpy())
            if EXAMPLE in (self.row.names or ()):
                block[EXAMPLE][places] = examples
            start += len(block)
            yield block
        yield np.zeros(self.size - start, self.row)

    def agrees(self, stored: RowFile) -> bool:
        """Says whether the input still decodes what it did, and to the same.

        That is tried of the first readable example, of the first that is converted before, and of
        all that could not be read, since what reads them may have been installed.
        """
        import numpy as np

        is_good = stored.read(np.arange(self.size), DIGEST).any(axis=1)
        good: list[int] = np.flatnonzero(is_good).tolist()
        bad: list[int] = np.flatnonzero(~is_good).tolist()
        if not good or any(self._decoded(index) is not None for index in bad):
            return False
        return all(self._is_stored(index, stored) for index in self._tried(good))

    def _tried(self, indices: Sequence[int]) -> Iterator[int]:
        """Yields the first of `indices`, and the first whose file the input converts."""
        yield indices[0]
        endings, files = self.input.converted_endings, self.split.files
        if endings and files:
            converted = (index for index in indices if files[index].lower().endswith(endings))
            yield from islice(converted, 1)

    def _is_stored(self, index: int, stored: RowFile) -> bool:
        """Says whether the example at `index` is decoded to what is `stored`."""
        import numpy as np

        example = self._decoded(index)
        row = stored.read(np.array([index]), EXAMPLE)[0]
        return example is not None and np.array_equal(example, row)

    def _decoded(self, index: int) -> tf.Tensor | None:
        """The example at `index`, decoded now; None if it cannot be read."""
        import tensorflow as tf

        try:
            example = self.input.decode(self.split.fetch(tf.constant(index, "int64")))
            return tf.ensure_shape(example, self.input.spec.shape)
        except tf.errors.OpError:
            return None

    def is_unchanged(self) -> bool:
        """Says whether no file was written to: should it come back as it was, it is another."""
        return key_of(self.split, self.input) == self.key


def row_dtype(spec: tf.TensorSpec | None) -> np.dtype[Any]:
    """The dtype of a row: a decoded example of `spec`, if it is given, and its digest."""
    import numpy as np

    digest = (DIGEST, "u1", (DIGEST_BYTES,))
    if spec is None:
        return np.dtype([digest])
    return np.dtype([(EXAMPLE, spec.dtype.as_numpy_dtype, tuple(spec.shape)), digest])


def readable(split: Split, look: Callable[[tf.Tensor], tuple[tf.Tensor, ...]]) -> tf.data.Dataset:
    """Batches ``(indices, …)`` of what `look` makes of each raw example, in order.

    Examples for which that fails are left out. A batch has `PASS_SIZE` examples, the last fewer.
    """
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert
    def one(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return index, *look(split.fetch(index))

    each = tf.data.Dataset.range(split.size).map(one, num_parallel_calls=tf.data.AUTOTUNE)
    return without_autotune(each.ignore_errors().batch(PASS_SIZE).prefetch(2))


def stamps(files: Iterable[str]) -> list[tuple[str, int, int]]:
    """Path, size in bytes and time in nanoseconds of each file; of none if one is gone."""
    try:
        stats = [(os.path.abspath(file), os.stat(file)) for file in files]  # noqa: PTH100, PTH116
    except OSError:
        return []
    return [(path, status.st_size, status.st_mtime_ns) for path, status in stats]


def key_of(split: Split, input: Input) -> str | None:
    """The key of the examples of `split` as `input` decodes them, 40 hexadecimal digits.

    None if they are not files, or one is gone.
    """
    from importlib.metadata import version

    files = stamps(split.files or ())
    if not files:
        return None
    key = hashlib.blake2b(digest_size=20)
    settings = decode_settings(input)
    code = f"{type(input).__module__}:{type(input).__qualname__}"
    parts = [code, input.decode_version, settings, __version__, version("tensorflow")]
    key.update(json.dumps(parts, sort_keys=True).encode())
    for path, size, time in files:
        key.update(os.fsencode(f"{path}\0{size}\0{time}\0"))
    return key.hexdigest()


def decode_settings(input: Input) -> dict[str, Any]:
    """What `Input.decode` depends on: settings, and digests of the files that it reads."""
    assets = input.assets()
    settings = input.model_dump(mode="json", exclude={*input.unused_by_decode, *assets})
    return settings | digests_of({**input.dependencies(), **assets})
