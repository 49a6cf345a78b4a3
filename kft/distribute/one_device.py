"""The first device works alone for a while, where several would only wait for each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from kft.distribute.cluster import replicas, workers

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_scope: ContextVar[ExitStack | None] = ContextVar("_scope", default=None)


@contextmanager
def devices_of(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """The scope of `strategy`, which `on_first_device` can leave."""
    with ExitStack() as scope:
        scope.enter_context(strategy.scope())
        before = _scope.set(scope)
        try:
            yield
        finally:
            _scope.reset(before)


def can_leave() -> bool:
    """Says whether there are several devices here, and none of other processes, and we may leave.

    Processes stay together: each would have to train the same, to the last bit, by itself.
    """
    return replicas() > 1 and workers() == 1 and _scope.get() is not None


@contextmanager
def on_first_device(variables: Iterable[keras.Variable]) -> Iterator[None]:
    """Lets the first device alone have `variables`, and leaves the scope of the strategy.

    In the end all devices have the values that they then have. What TensorFlow traced in the
    meantime must not be called any more.
    """
    import tensorflow as tf

    strategy, scope = tf.distribute.get_strategy(), _scope.get()
    if scope is None:
        raise RuntimeError("on_first_device: not within devices_of")
    mirrored = [(variable, variable._value) for variable in variables]
    scope.close()
    try:
        for variable, of_all in mirrored:
            # Keras 3.15 has no public way to give a variable another place.
            variable._value = alone(of_all)
        yield
    finally:
        for variable, of_all in mirrored:
            of_all.assign(variable._value)
            variable._value = of_all
        scope.enter_context(strategy.scope())


def alone(of_all: tf.Variable) -> tf.Variable:
    """A variable of the first device with the value of a mirrored one.

    It goes by the same id, since that is how optimizers of Keras 3.15 know it in the next phase.
    """
    import tensorflow as tf

    variable = tf.Variable(of_all.read_value(), trainable=of_all.trainable, name=of_all.name[:-2])
    variable._unique_id = of_all._unique_id
    return variable
