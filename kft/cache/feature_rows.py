"""The features of one variant of a split as cached rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.cache.cached_rows import CachedRows, fetch_from_disk
from kft.cache.inference import output_batches, predict_one_batch, specs_of
from kft.cache.row_file import RowFile
from kft.cache.views import View
from kft.errors import ConfigError
from kft.host_memory import from_memory
from kft.rounding import SAME_MODEL

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True, eq=False)
class FeatureRows(CachedRows):
    """What a model gives for one variant of decoded examples, a field for each output.

    Attributes:
        model: Frozen and deterministic; maps decoded examples to the features.
        view: The variant.
    """

    model: keras.Model
    view: View

    def compute(self) -> Iterator[np.ndarray]:
        """Yields the rows in order, in blocks ``(n,)``.

        Raises:
            ConfigError: They do not fit into the float16 that the config asks for.
        """
        import numpy as np

        for outputs in output_batches(self.model, self.split, self.title, self.view.vary):
            block = np.empty(len(outputs[0]), self.row)
            for name, output in zip(self.row.names or (), outputs, strict=True):
                with np.errstate(over="ignore"):
                    block[name] = output
                refuse_overflow(block[name], output)
            yield block

    def agrees(self, stored: RowFile) -> bool:
        """Says whether the model still gives the first row, up to rounding.

        The code of a user's own layer may have changed, or what a SavedModel does besides its
        weights.
        """
        import numpy as np
        import tensorflow as tf

        index = tf.zeros(1, "int64")
        inputs = tf.expand_dims(self.split.fetch(index[0]), 0)
        inputs = inputs if self.view.vary is None else self.view.vary(index, inputs)
        outputs = tf.nest.flatten(predict_one_batch(self.model, inputs))
        for name, output in zip(self.row.names or (), outputs, strict=True):
            now = np.asarray(output[0], "float64")
            then = np.asarray(stored.read(index.numpy(), name)[0], "float64")
            if not np.linalg.norm(now - then) <= SAME_MODEL * np.linalg.norm(now):
                return False
        return True

    def is_unchanged(self) -> bool:
        """True: of a decoded split that changes, nothing can be fetched."""
        return True


def refuse_overflow(stored: np.ndarray, output: np.ndarray) -> None:
    """Raises ConfigError if a number became infinite only by being stored."""
    import numpy as np

    if stored.dtype == output.dtype or np.isfinite(stored).all() or not np.isfinite(output).all():
        return
    raise ConfigError(
        where="cache_dtype",
        problem=f"float16 holds numbers up to 65504, and the features reach "
        f"{np.abs(output).max():.3g}",
        fix="Set it to 'float32'",
    )


def fetch_features(
    sets: Sequence[np.ndarray | RowFile], model: keras.Model
) -> Callable[[tf.Tensor], Any]:
    """Makes a function that fetches the features of `model` from the rows of each view.

    It takes an int64 index or a vector of them, where row ``i`` of view ``v`` of `n` examples is
    number ``i + v * n``, and gives what the model does, in its dtypes.
    """
    import tensorflow as tf

    specs = specs_of(model)
    arrays = [rows for rows in sets if not isinstance(rows, RowFile)]
    maps = [rows.mapped() for rows in sets if isinstance(rows, RowFile)]
    fetch = fetch_mapped(maps) if maps else fetch_arrays(arrays)

    def as_model_gives_them(index: tf.Tensor) -> Any:
        tensors = tf.nest.flatten(fetch(index))
        outputs = tuple(tf.cast(x, spec.dtype) for x, spec in zip(tensors, specs, strict=True))
        return outputs if len(outputs) > 1 else outputs[0]

    return as_model_gives_them


def fetch_arrays(sets: Sequence[np.ndarray]) -> Callable[[tf.Tensor], Any]:
    """Makes a function that fetches from a copy of the rows ``(n,)`` of each view in memory."""
    import numpy as np

    names = sets[0].dtype.names or ()
    if len(sets) == 1:
        return from_memory(*(np.ascontiguousarray(sets[0][name]) for name in names))
    return from_memory(*(np.concatenate([rows[name] for rows in sets]) for name in names))


def fetch_mapped(sets: Sequence[np.ndarray]) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Makes a function that fetches from memory maps ``(n,)`` of each view.

    A batch is one gather from each map: features are short, so a plain read of every row, as for
    decoded examples, would take longer.
    """
    import numpy as np

    size, row = len(sets[0]), sets[0].dtype
    names = row.names or ()

    def read(indices: np.ndarray) -> list[np.ndarray]:
        view, places = np.divmod(indices, size)
        rows = np.empty(len(indices), row)
        for number in np.unique(view):
            rows[view == number] = sets[number][places[view == number]]
        return [rows[name] for name in names]

    return fetch_from_disk(read, [row[name] for name in names])
