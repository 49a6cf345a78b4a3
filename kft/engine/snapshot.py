"""Copies of the values of variables, to go back to or to write to disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft.host_memory import on_host

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The values that variables had at one moment, in the memory of the host.

    On a CPU a value shares its memory with its variable until that is written to, so weights that
    training leaves alone take no room, however many snapshots there are.

    Attributes:
        values: One for each of `variables`, in the same order.
    """

    variables: tuple[keras.Variable | tf.Variable, ...]
    values: tuple[tf.Tensor, ...]

    @classmethod
    def of(cls, variables: Iterable[keras.Variable | tf.Variable]) -> Snapshot:
        """Copies the values that `variables` have now."""
        variables = tuple(variables)
        return cls(variables, tuple(copy_of(variable) for variable in variables))

    @classmethod
    def from_arrays(
        cls, variables: Iterable[keras.Variable | tf.Variable], arrays: Iterable[np.ndarray]
    ) -> Snapshot:
        """Pairs `variables` with values that `arrays` gave earlier; the variables stay as they are.

        The order must be the same.
        """
        import tensorflow as tf

        with on_host():
            return cls(tuple(variables), tuple(tf.constant(array) for array in arrays))

    def on(self, variables: Iterable[keras.Variable | tf.Variable]) -> Snapshot:
        """The same values for other `variables`, in the same order."""
        return Snapshot(tuple(variables), self.values)

    def arrays(self) -> list[np.ndarray]:
        """Returns the values as NumPy arrays, in the order of `variables`."""
        return [value.numpy() for value in self.values]

    @contextmanager
    def assigned(self) -> Iterator[None]:
        """Gives the variables these values until the context ends, and then their own again."""
        now = Snapshot.of(self.variables)
        self.restore()
        try:
            yield
        finally:
            now.restore()

    @contextmanager
    def seen(self) -> Iterator[None]:
        """Lets whoever reads the variables as those of Keras find these values in them.

        The variables stay as they are: a GPU whose memory has run out has no room for others.
        """
        import keras

        with on_host():
            scope = keras.StatelessScope(zip(self.variables, self.values, strict=True))
        with scope:
            yield

    def restore(self) -> None:
        """Assigns the values to their variables."""
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)

    def towards(self, other: Snapshot, alpha: float) -> Snapshot:
        """Interpolates: 0 gives these values, 1 those of `other`, which has the same variables.

        Values that are not floating point, such as the state of a seed, are taken from `other`. A
        value that is equal in both stays as it is, to the last bit.
        """
        if alpha in (0.0, 1.0):
            return other if alpha else self
        pairs = zip(self.values, other.values, strict=True)
        with on_host():
            between = tuple(a + alpha * (b - a) if b.dtype.is_floating else b for a, b in pairs)
        return Snapshot(self.variables, between)


class Copies:
    """Makes snapshots that share the values of frozen weights, which are copied once.

    On a CPU all values are shared until they change; from a GPU, each snapshot would be a copy of
    the whole model.
    """

    def __init__(self) -> None:
        self._frozen: dict[int, tf.Tensor] = {}

    def begin(self, model: keras.Model) -> None:
        """Copies the weights of `model` that are frozen now, and stay so until the next call.

        Those that were frozen before have been since, so their copies hold.
        """
        frozen = frozen_weights(model)
        self._frozen = {
            id(v): self._frozen[id(v)] if id(v) in self._frozen else copy_of(v) for v in frozen
        }

    def of(self, variables: Iterable[keras.Variable | tf.Variable]) -> Snapshot:
        """A snapshot of the values that `variables` have now."""
        variables = tuple(variables)
        values = (None if v.trainable else self._frozen.get(id(v)) for v in variables)
        kept = zip(variables, values, strict=True)
        return Snapshot(
            variables, tuple(copy_of(v) if value is None else value for v, value in kept)
        )


def copy_of(variable: keras.Variable | tf.Variable) -> tf.Tensor:
    """A copy of the value of `variable` in the memory of the host."""
    import keras

    inside = variable.value if isinstance(variable, keras.Variable) else variable
    with on_host():
        return inside.read_value()


def frozen_weights(model: keras.Model) -> list[keras.Variable]:
    """The weights of `model` that are not trained; statistics change all the same, and are none."""
    weights = (v for layer in model._flatten_layers() for v in layer._trainable_variables)
    return [weight for weight in weights if not weight.trainable]


def positions_in(
    model: keras.Model, variables: Iterable[keras.Variable | tf.Variable]
) -> list[int | None]:
    """Returns the index of each of `variables` in ``model.variables``; None where it has none."""
    position = {id(variable): index for index, variable in enumerate(model.variables)}
    return [position.get(id(variable)) for variable in variables]
