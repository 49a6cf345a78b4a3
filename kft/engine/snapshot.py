"""The values of variables at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The values of variables at one moment, in the memory of the host.

    On a CPU a value shares its memory with its variable until that is written to, so what
    training never touches takes no room, however many snapshots there are.
    """

    variables: tuple[keras.Variable | tf.Variable, ...]
    values: tuple[tf.Tensor, ...]

    @classmethod
    def of(cls, variables: Iterable[keras.Variable | tf.Variable]) -> Snapshot:
        """Returns the values that `variables` have now."""
        import keras
        import tensorflow as tf

        variables = tuple(variables)
        inside = (v.value if isinstance(v, keras.Variable) else v for v in variables)
        with tf.device("CPU:0"):
            values = tuple(variable.read_value() for variable in inside)
        return cls(variables, values)

    def arrays(self) -> list[np.ndarray]:
        """Returns the values as arrays."""
        return [value.numpy() for value in self.values]

    def restore(self) -> None:
        """Gives the variables these values."""
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)

    def towards(self, other: Snapshot, alpha: float) -> Snapshot:
        """Returns the values the share `alpha` of the way to `other`, of the same variables.

        What is no floating point number, such as the state of a seed, is as in `other`. A value
        that both have stays as it is, to the last bit.
        """
        if alpha in (0.0, 1.0):
            return other if alpha else self
        pairs = zip(self.values, other.values, strict=True)
        return Snapshot(
            self.variables,
            tuple(a + alpha * (b - a) if b.dtype.is_floating else b for a, b in pairs),
        )
