"""Separate learning rates for the parts of a model.

`scale_updates` makes one optimizer use several rates; `depth_factors` says which, where lower
stages shall learn more slowly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kft.errors import ConfigError
from kft.layers.precision import unscaled
from kft.layers.update_step import RateFactors, by_key, chain_of

if TYPE_CHECKING:
    import keras

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
    on a model that has been fitted, rebuild its training function afterwards, with
    ``make_train_function(force=True)``. The optimizer keeps its class, so a model saved with it
    loads without kft, and then at one rate for all.

    Example:
        >>> import keras, tensorflow as tf
        >>> from kft.layers.layer_rates import scale_updates
        >>> slow, fast = keras.Variable([1.0]), keras.Variable([1.0])
        >>> optimizer = keras.optimizers.SGD(0.5)
        >>> scale_updates(optimizer, [(slow, 0.1)])
        >>> optimizer.apply([tf.constant([1.0])] * 2, [slow, fast])
        >>> round(float(slow[0]), 3), round(float(fast[0]), 3)
        (0.95, 0.5)

    Raises:
        ConfigError: The steps of this kind of optimizer are not in proportion to its rate.
    """
    kind = type(unscaled(optimizer)).__name__
    if kind in NOT_PROPORTIONAL:
        raise ConfigError(
            where=f"optimizer {kind}",
            problem="has no step in proportion to its learning rate, so parts of the model "
            "cannot be given shares of it",
            fix="Take another optimizer, such as AdamW",
        )
    chain_of(optimizer).add(RateFactors(by_key(optimizer, factors)))
