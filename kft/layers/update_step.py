"""How an optimizer updates a variable: named transforms in one order, then Keras's own update.

In the style of optax's ``chain``. Whatever kft changes about an optimizer it changes here, since
Keras 3.15 has no hooks for it. A step is then, in this order:

1. The gradients of all devices are added up, by `Replicated` and not once more by the optimizer.
2. A `LossScaleOptimizer` takes the scale of the loss off, and leaves out what is not finite.
3. Keras clips the gradients of all variables together.
4. Keras decays the weights, each at its own rate.
5. Of each variable: the transforms in ``ORDER``, then the update of its kind of optimizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kft.layers.precision import unscaled

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Value = TypeVar("Value")


class Update(NamedTuple):
    """An update that is about to be made.

    Attributes:
        steps: How many have been made before, which Adam corrects its averages by.
    """

    gradient: tf.Tensor
    variable: tf.Variable
    learning_rate: tf.Tensor
    steps: tf.Tensor


@dataclass(frozen=True, eq=False)
class StepCounts:
    """Lets each variable count its own steps.

    Attributes:
        ahead: How many more than the optimizer each variable has taken, by its key.
    """

    ahead: Mapping[str, int]

    def __call__(self, key: str, update: Update) -> Update:
        """Returns `update` with the count of its variable."""
        return update._replace(steps=update.steps + self.ahead[key])


@dataclass(frozen=True, eq=False)
class RateFactors:
    """Scales the learning rate of each variable, and so its update and its weight decay.

    Attributes:
        factors: By the key of the variable; others have 1.
    """

    factors: Mapping[str, float]

    def of(self, key: str) -> float:
        """Returns the factor of a variable."""
        return self.factors.get(key, 1.0)

    def __call__(self, key: str, update: Update) -> Update:
        """Returns `update` at the rate of its variable."""
        return update._replace(learning_rate=update.learning_rate * self.of(key))


@dataclass(frozen=True, eq=False)
class L2SP:
    """Takes ``rate * strength * (variable - anchor)`` off each variable that has an anchor.

    For plain SGD that is the gradient of the L2-SP penalty, half of `strength` times the squared
    distance (Li et al. 2018, arXiv 1802.01483). Others apply it beside their own update, as AdamW
    does weight decay and for its reason: Adam would weaken the pull where gradients are large
    (Loshchilov and Hutter 2019). The loss stays that of the head.

    Attributes:
        anchors: Pretrained values by the key of the variable.
    """

    anchors: Mapping[str, tf.Tensor]
    strength: float

    def __call__(self, key: str, update: Update) -> Update:
        """Pulls the variable of `update`, which stays as it is."""
        import tensorflow as tf

        anchor, variable = self.anchors.get(key), update.variable
        if anchor is not None:
            share = tf.cast(update.learning_rate * self.strength, variable.dtype)
            variable.assign_sub(share * (variable - anchor))
        return update


Transform = StepCounts | RateFactors | L2SP
# The pull comes after the factors, since it follows the rate of each variable.
ORDER = (StepCounts, RateFactors, L2SP)


class Chain:
    """Stands in for methods of an optimizer, which keeps its class; nothing else in kft does.

    So a model saved with it loads without kft, and then without any transform.

    Attributes:
        transforms: What is applied, one of a kind.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.transforms: dict[type[Transform], Transform] = {}
        self._optimizer = optimizer
        self._update = optimizer.update_step
        self._decay = optimizer._apply_weight_decay

    def add(self, transform: Transform) -> None:
        """Applies `transform` too, in the place of another of its kind; before any tracing."""
        self.transforms[type(transform)] = transform
        self._optimizer.update_step = self
        self._optimizer._apply_weight_decay = self.decay

    def take_sums(self) -> None:
        """Makes the optimizer take gradients as sums over all devices."""
        self._optimizer._all_reduce_sum_gradients = list

    def __call__(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates `variable`, as ``update_step`` does."""
        key = self._optimizer._var_key(variable)
        update = Update(gradient, variable, learning_rate, self._optimizer._iterations)
        for kind in ORDER:
            if kind in self.transforms:
                update = self.transforms[kind](key, update)
        with showing(self._optimizer, _iterations=update.steps):
            self._update(*update[:3])

    def decay(self, variables: Sequence[keras.Variable]) -> None:
        """Decays each variable at its own rate, as ``_apply_weight_decay`` does at one.

        Keras 3.15 takes the rate of the decay from the optimizer and not from the update, so
        scaling the latter alone would pull the slowest layers hardest against what they learn.
        """
        scaled = self.transforms.get(RateFactors)
        if not isinstance(scaled, RateFactors):
            self._decay(variables)
            return
        rate = self._optimizer._get_current_learning_rate
        for variable in variables:
            factor = scaled.of(self._optimizer._var_key(variable))
            own = {"_get_current_learning_rate": lambda factor=factor: rate() * factor}
            with showing(self._optimizer, **own):
                self._decay([variable])


def chain_of(optimizer: keras.optimizers.Optimizer) -> Chain:
    """The transforms of the updates of `optimizer`, or of the one whose loss it scales."""
    bare = unscaled(optimizer)
    step = bare.update_step
    return step if isinstance(step, Chain) else Chain(bare)


def by_key(
    optimizer: keras.optimizers.Optimizer, pairs: Iterable[tuple[keras.Variable, Value]]
) -> dict[str, Value]:
    """Returns the value of each variable by the key that `optimizer` knows the variable by."""
    return {unscaled(optimizer)._var_key(variable): value for variable, value in pairs}


@contextmanager
def showing(optimizer: keras.optimizers.Optimizer, **attributes: Any) -> Iterator[None]:
    """Makes `optimizer` have these `attributes` for a while, past Keras, which would track them."""
    shown = vars(optimizer)
    before = {name: shown[name] for name in attributes if name in shown}
    shown.update(attributes)
    try:
        yield
    finally:
        for name in attributes.keys() - before.keys():
            del shown[name]
        shown.update(before)
