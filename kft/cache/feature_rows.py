"""One set of features: a row for each example, which is computed, or found where a run left it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kft.cache import store
from kft.cache.inference import PASS_SIZE, from_memory, output_batches, predict_one_batch, specs_of
from kft.cache.key import ModelDigest, digests_of, key_of
from kft.cache.row_file import DamagedError
from kft.cache.views import View
from kft.data import Split
from kft.errors import ConfigError
from kft.progress import say

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

# How far the features of one example, computed alone, may be from those on disk, as a share of
# their length. Batch sizes and short floats make less; another model makes more.
AGREEMENT = 0.05


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """What a model gives for one variant of the examples of a split.

    Attributes:
        model: Frozen and deterministic; maps decoded examples to the features.
        split: The examples, decoded.
        row: Of one example, as `place.row_dtype`.
        title: What it is, for people.
    """

    model: keras.Model
    split: Split
    view: View
    row: np.dtype[Any]
    title: str

    def key(self, model: ModelDigest) -> str:
        """Returns the name of the set on disk, made of all it depends on; `model` is its own."""
        rest = {"view": self.view.told, "row": str(self.row), "batch": PASS_SIZE}
        return key_of(model, digests_of(self.split, PASS_SIZE), rest)

    def compute(self) -> Iterator[np.ndarray]:
        """Yields the rows in blocks, in order.

        Raises:
            ConfigError: They do not fit into the float16 that the config asks for.
        """
        import numpy as np

        title = f"Computing {self.title}"
        for outputs in output_batches(self.model, self.split, title, self.view.vary):
            block = np.empty(len(outputs[0]), self.row)
            for name, output in zip(self.row.names or (), outputs, strict=True):
                with np.errstate(over="ignore"):
                    block[name] = output
                refuse_overflow(block[name], output)
            yield block

    def find(self, key: str) -> np.ndarray | None:
        """Returns the rows that an earlier run left under `key`, verified, or None."""
        try:
            rows = store.read(key, self.row, self.split.size)
            if rows is None or self.agrees(rows):
                return rows
            reason = "the model gives others"
        except DamagedError as error:
            reason = str(error)
        say(f"{store.path_of(key)} is of no use, since {reason}: computing it again")
        return None

    def agrees(self, rows: np.ndarray) -> bool:
        """Says whether the model still gives the first of `rows`.

        A key cannot know everything: the code of a user's own layer may have changed, or what a
        SavedModel does besides its weights.
        """
        import numpy as np
        import tensorflow as tf

        index = tf.zeros(1, "int64")
        inputs = tf.expand_dims(self.split.fetch(index[0]), 0)
        inputs = inputs if self.view.vary is None else self.view.vary(index, inputs)
        outputs = tf.nest.flatten(predict_one_batch(self.model, inputs))
        for name, output in zip(self.row.names or (), outputs, strict=True):
            now, then = np.asarray(output[0], "float64"), np.asarray(rows[name][0], "float64")
            if not np.linalg.norm(now - then) <= AGREEMENT * np.linalg.norm(now):
                return False
        return True

    def write(self, key: str, blocks: Iterable[np.ndarray], backbone: str) -> None:
        """Writes the rows, so that `find` finds them.

        Raises:
            OSError: They cannot be written.
        """
        told = {
            "backbone": backbone,
            "examples": self.split.size,
            "first_example": str(self.split.names[0]),
            "shapes": [list(self.row[name].shape) for name in self.row.names or ()],
            "dtypes": [str(self.row[name].base) for name in self.row.names or ()],
            "view": self.view.told,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        store.make_room(self.split.size * self.row.itemsize)
        store.write(key, blocks, told, self.split.size)


def refuse_overflow(stored: np.ndarray, output: np.ndarray) -> None:
    """Raises ConfigError if a number became infinite only by being stored."""
    import numpy as np

    if stored.dtype == output.dtype or np.isfinite(stored).all() or not np.isfinite(output).all():
        return
    raise ConfigError(
        where="cache_dtype",
        problem=f"float16 holds numbers up to 65504, and the features reach "
        f"{np.abs(output).max():.3g}",
        fix="Set it to float32",
    )


def fetch_from(
    sets: Sequence[np.ndarray], model: keras.Model, in_memory: bool
) -> Callable[[tf.Tensor], Any]:
    """Returns what fetches the features of `model` out of `sets` of rows, one for each view.

    It takes one number of a row, or a vector, counted through all sets.
    """
    import tensorflow as tf

    specs = specs_of(model)
    fetch = held_in_memory(sets) if in_memory else mapped_from_disk(sets, specs)

    def as_model_gives_them(index: tf.Tensor) -> Any:
        found = tf.nest.flatten(fetch(index))
        outputs = tuple(tf.cast(x, spec.dtype) for x, spec in zip(found, specs, strict=True))
        return outputs if len(outputs) > 1 else outputs[0]

    return as_model_gives_them


def held_in_memory(sets: Sequence[np.ndarray]) -> Callable[[tf.Tensor], Any]:
    """Returns what fetches rows that are copied into memory."""
    import numpy as np

    names = sets[0].dtype.names or ()
    if len(sets) == 1:
        return from_memory(*(np.ascontiguousarray(sets[0][name]) for name in names))
    return from_memory(*(np.concatenate([rows[name] for rows in sets]) for name in names))


def mapped_from_disk(
    sets: Sequence[np.ndarray], specs: Sequence[tf.TensorSpec]
) -> Callable[[tf.Tensor], Any]:
    """Returns what fetches rows from disk when they are asked for; those of many at once."""
    import numpy as np
    import tensorflow as tf

    size, row = len(sets[0]), sets[0].dtype
    names = row.names or ()

    def take(index: np.ndarray) -> list[np.ndarray]:
        number, place = np.divmod(np.atleast_1d(index), size)
        rows = np.empty(len(place), row)
        for one in np.unique(number):
            rows[number == one] = sets[one][place[number == one]]
        return [
            np.ascontiguousarray(rows[name].reshape(*index.shape, *row[name].shape))
            for name in names
        ]

    def fetch(index: tf.Tensor) -> list[tf.Tensor]:
        dtypes = [tf.as_dtype(row[name].base) for name in names]
        outputs = tf.numpy_function(take, [index], dtypes, stateful=False)
        for output, spec in zip(outputs, specs, strict=True):
            output.set_shape(index.shape.concatenate(spec.shape))
        return list(outputs)

    return fetch
