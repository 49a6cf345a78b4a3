"""A learning rate of its own for each part of a model.

`scale_updates` makes one optimizer use several rates; `depth_factors` says which, where lower
stages shall learn more slowly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kft.errors import ConfigError
from kft.precision import unscaled

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

NOT_PROPORTIONAL = ("Adafactor", "Ftrl", "MultiOptimizer")


def depth_factors(depth: int, decay: float) -> list[float]:
    """Returns the factor of each of `depth` stages, input side first.

    The stage below the head has `decay`, the next below ``decay ** 2`` and so on; the head itself
    keeps the full rate (ELECTRA, Clark et al. 2020; BEiT, Bao et al. 2022).
    """
    return [decay**below for below in range(depth, 0, -1)]


def scale_updates(
    optimizer: keras.optimizers.Optimizer, factors: Iterable[tuple[keras.Variable, float]]
) -> None:
    """Makes `optimizer` change each of the variables at its rate times the factor beside it.

    Those not named keep the full rate. It is the update that is scaled and not the gradient,
    which Adam, RMSprop and Lion would scale back; the schedule, the momentum, the clipping and a
    loss scale stay as they are. Weight decay, which goes with the rate, goes with the factor too.

    Sets the whole state: of two calls the second holds. Call it before the optimizer is traced;
    on a model that has been fitted, make its training function anew afterwards, with
    ``make_train_function(force=True)``. The optimizer keeps its class, so a model saved with it
    loads without kft, and then at one rate for all.

    Example:
        >>> import keras, tensorflow as tf
        >>> from kft.layer_rates import scale_updates
        >>> slow, fast = keras.Variable([1.0]), keras.Variable([1.0])
        >>> optimizer = keras.optimizers.SGD(0.5)
        >>> scale_updates(optimizer, [(slow, 0.1)])
        >>> optimizer.apply([tf.constant([1.0])] * 2, [slow, fast])
        >>> round(float(slow[0]), 3), round(float(fast[0]), 3)
        (0.95, 0.5)

    Raises:
        ConfigError: The steps of this kind of optimizer are not in proportion to its rate.
    """
    optimizer = unscaled(optimizer)
    kind = type(optimizer).__name__
    if kind in NOT_PROPORTIONAL:
        raise ConfigError(
            where=f"optimizer {kind}",
            problem="has no step in proportion to its learning rate, so parts of the model "
            "cannot be given shares of it",
            fix="Take another optimizer, such as AdamW",
        )
    by_key = {optimizer._var_key(variable): float(factor) for variable, factor in factors}
    inner = optimizer.update_step
    inner = inner.inner if isinstance(inner, ScaledStep) else inner
    optimizer.update_step = ScaledStep(optimizer, inner, by_key)
    optimizer._apply_weight_decay = ScaledDecay(optimizer, by_key)


class ScaledStep:
    """Stands in for the ``update_step`` of an optimizer.

    Attributes:
        inner: What it stands in for.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        inner: Any,
        factors: Mapping[str, float],
    ) -> None:
        self.inner = inner
        self._optimizer = optimizer
        self._factors = factors

    def __call__(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> Any:
        """Updates `variable` at its share of `learning_rate`."""
        factor = self._factors.get(self._optimizer._var_key(variable), 1.0)
        return self.inner(gradient, variable, learning_rate * factor)


class ScaledDecay:
    """Stands in for the ``_apply_weight_decay`` of an optimizer.

    Keras 3.15 takes the rate of the decay from the optimizer and not from the update, so scaling
    the latter alone would pull the slowest layers hardest against what they learn.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, factors: Mapping[str, float]) -> None:
        self._optimizer = optimizer
        self._factors = factors

    def __call__(self, variables: Sequence[keras.Variable]) -> None:
        """Decays each variable at its share of the rate."""
        groups = defaultdict(list)
        for variable in variables:
            groups[self._factors.get(self._optimizer._var_key(variable), 1.0)].append(variable)
        for factor, group in groups.items():
            with rate_times(self._optimizer, factor):
                type(self._optimizer)._apply_weight_decay(self._optimizer, group)


@contextmanager
def rate_times(optimizer: keras.optimizers.Optimizer, factor: float) -> Iterator[None]:
    """Makes ``optimizer.learning_rate`` answer a share of itself."""
    optimizer._get_current_learning_rate = lambda: (
        type(optimizer)._get_current_learning_rate(optimizer) * factor
    )
    try:
        yield
    finally:
        del optimizer._get_current_learning_rate
