"""Separate learning rates for the parts of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kft.callbacks.choice import Layers, choose
from kft.callbacks.trainable import ChangesTraining
from kft.callbacks.whole import refuse_gained, refuse_unbuilt
from kft.errors import ConfigError
from kft.layers.layer_rates import depth_factors, scale_updates


class DiscriminativeLearningRates(ChangesTraining):
    """Lets parts of the model learn at a share of the optimizer's rate.

    It is the update that is scaled and not the gradient, which Adam would scale back, so it is
    right for every optimizer whose steps are in proportion to its rate; decay of the weights goes
    with it. The optimizer keeps its class and its rate: schedules and the callbacks that set the
    rate go on working. The shares stay with the optimizer until it is replaced by ``compile``,
    and are not saved with the model: give the callback to a resumed fit too.

    Attributes:
        factors: Pairs of layers, as `UnfreezeBackbone` takes them, and their share; or a mapping
            where each is one layer or pattern. Where two hold for one layer, the later does. What
            is not named keeps the full rate.

    Raises:
        ConfigError: When ``fit`` begins: no such layers, or an optimizer whose steps are not in
            proportion to its rate (Adafactor, Ftrl, MultiOptimizer).

    Example:
        >>> import keras, numpy as np
        >>> from kft.callbacks import DiscriminativeLearningRates
        >>> model = keras.Sequential(
        ...     [keras.Input((8,)), keras.layers.Dense(4, name="low"), keras.layers.Dense(1)]
        ... )
        >>> model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
        >>> x, y = np.random.rand(32, 8), np.random.rand(32)
        >>> before = [layer.kernel.numpy() for layer in model.layers]
        >>> rates = DiscriminativeLearningRates({"low": 0.1})
        >>> history = model.fit(x, y, batch_size=32, callbacks=[rates], verbose=0)
        >>> # The first step of Adam is as long as the rate.
        >>> moved = [layer.kernel.numpy() - old for layer, old in zip(model.layers, before)]
        >>> [round(float(abs(change).max()), 4) for change in moved]
        [0.001, 0.01]
    """

    in_a_run = "Set the 'layer_decay' of a phase instead"

    def __init__(
        self,
        factors: Mapping[keras.layers.Layer | str, float] | Sequence[tuple[Layers, float]],
    ) -> None:
        super().__init__()
        pairs = list(factors.items() if isinstance(factors, Mapping) else factors)
        if not pairs or any(factor < 0 for _, factor in pairs):
            raise ConfigError(
                "DiscriminativeLearningRates.factors",
                f"got {pairs!r}",
                "Give a factor of 0 or more for each of some layers",
            )
        self._factors = pairs

    @classmethod
    def by_depth(cls, groups: Sequence[Layers], decay: float) -> DiscriminativeLearningRates:
        """Returns rates that fall from the head down by `decay` from each group to the next.

        `groups` are layers as above, input side first: the last has the share `decay`, the one
        before it ``decay ** 2`` and so on (ELECTRA, Clark et al. 2020).
        """
        return cls(list(zip(groups, depth_factors(len(groups), decay), strict=True)))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Gives the optimizer the shares."""
        refuse_unbuilt("DiscriminativeLearningRates", self.model)
        self._pairs = self._variables()
        scale_updates(self.model.optimizer, self._pairs)
        if self.model.train_function is not None:
            self.model.make_train_function(force=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Refuses weights that were added since, which have the full rate."""
        before, now = ([v for v, _ in pairs] for pairs in (self._pairs, self._variables()))
        refuse_gained("DiscriminativeLearningRates", before, now)

    def _variables(self) -> list[tuple[keras.Variable, float]]:
        """Returns each variable that has a share, and that share."""
        where = "DiscriminativeLearningRates.factors"
        found = {
            id(variable): (variable, factor)
            for layers, factor in self._factors
            for layer in choose(self.model, layers, where)
            for variable in layer.variables
        }
        return list(found.values())
