"""A learning-rate range test for any compiled Keras model, which leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kft.engine.random_state import preserve_random_state
from kft.engine.snapshot import Snapshot
from kft.errors import ConfigError, TrainingError
from kft.finder.found_rate import FEWEST_STEPS, FoundRate
from kft.layers.precision import unscaled

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kft.finder.probe import Dial

# At most, as in fastai.
STEPS = 100


def find_learning_rate(
    model: keras.Model,
    batches: tf.data.Dataset | tf.distribute.DistributedDataset,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = STEPS,
) -> FoundRate:
    """Trains for a few steps at rates that grow, and returns the losses.

    The range test of Smith 2017 (arXiv 1506.01186), as fastai made it known: the rate grows by
    the same factor from `lowest` to `highest` over at most `steps` steps, with the model's own
    optimizer, loss and batches, and ends early where the loss blows up.

    Weights, seeds of layers, optimizer, metrics and the global random states are afterwards as
    before, to the last bit; an optimizer that was not built yet is. `batches` is started again,
    and once more where it is too short: one that reshuffles each time has then done so once more.
    Batches that a strategy shares out must be enough for `steps` as they are.

    Raises:
        ConfigError: The model has no weights or is not compiled, or the rates do not grow.
        TrainingError: The loss is not a number within the first ten steps.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> found = find_learning_rate(model, batches)
        >>> model.compile(keras.optimizers.Adam(found.recommended), "mse")
    """
    import numpy as np

    from kft.finder.probe import Probe

    check(model, lowest, highest, steps)
    rates = np.geomspace(lowest, highest, steps).tolist()
    probe = Probe(rates)
    with preserve_random_state(), untouched(model), turned_by(model.optimizer, probe.rate):
        model.fit(
            repeated(batches), steps_per_epoch=steps, callbacks=[probe], shuffle=False, verbose=0
        )
    if len(probe.losses) < FEWEST_STEPS:
        raise TrainingError(
            where="learning-rate finder",
            problem=f"the loss is not a number after {len(probe.losses)} steps, at low rates",
            fix="Look for the fault in the data or the model, or begin lower",
        )
    return FoundRate(tuple(rates[: len(probe.losses)]), tuple(probe.losses))


def repeated(batches: tf.data.Dataset | tf.distribute.DistributedDataset) -> Any:
    """Returns `batches` without an end; those of several devices have to be enough as they are."""
    import tensorflow as tf

    return batches.repeat() if isinstance(batches, tf.data.Dataset) else batches


def check(model: keras.Model, lowest: float, highest: float, steps: int) -> None:
    """Raises ConfigError if a range test cannot be made."""
    where, fix = "learning-rate finder", "Build and compile the model first"
    if not model.built or not model.compiled or not model.trainable_variables:
        raise ConfigError(where, "the model has nothing to train, or is not compiled", fix)
    if not 0 < lowest < highest or steps < FEWEST_STEPS:
        raise ConfigError(
            where,
            f"got rates from {lowest:g} to {highest:g} in {steps} steps",
            f"Give rates that grow from above 0, and at least {FEWEST_STEPS} steps",
        )


@contextmanager
def turned_by(optimizer: keras.optimizers.Optimizer, dial: Dial) -> Iterator[None]:
    """Lets `dial` say the rate of `optimizer` for a while.

    Not by the public setter, which forgets a rate that is a variable and cannot bring it back.
    """
    optimizer = unscaled(optimizer)  # which the one that scales the loss asks for the rate
    rate = optimizer._learning_rate
    optimizer._learning_rate = dial
    try:
        yield
    finally:
        optimizer._learning_rate = rate


@contextmanager
def untouched(model: keras.Model) -> Iterator[None]:
    """Puts the state of a compiled model and its optimizer back at the end."""
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    state = Snapshot.of([*model.variables, *optimizer.variables, *model.metrics_variables])
    # A step that was traced before knows the rate of before, and keeps the state of its kernels.
    kept = {name: getattr(model, name, None) for name in ("train_function", "stop_training")}
    history = getattr(model, "history", None)
    model.train_function = None
    try:
        yield
    finally:
        state.restore()
        for name, value in kept.items():
            setattr(model, name, value)
        model.history = history
