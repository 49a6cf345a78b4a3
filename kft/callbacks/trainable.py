"""Changing what a model trains in the middle of a fit."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import keras
from keras.src.utils.tracking import DotNotTrackScope

from kft.callbacks.choice import all_layers
from kft.errors import ConfigError
from kft.layers.gradients import record_gradients
from kft.layers.precision import unscaled


class ChangesTraining(keras.callbacks.Callback):
    """A callback that changes what or how the model learns: in a run the phases say that."""

    in_a_run: ClassVar[str] = "Leave it out, and use the settings of the phases"


def set_trainable(
    model: keras.Model,
    trained: Collection[keras.layers.Layer],
    frozen: Collection[keras.layers.Layer],
) -> None:
    """Makes the layers `trained` trainable, and `frozen` not, within a fit of `model`.

    Neither says anything of the layers inside them: name those too. Layers around a trained one
    become trainable themselves, and no other layer or variable changes. The optimizer is made
    ready for the variables that train now, and Keras rebuilds its next step.
    """
    layers = all_layers([model])
    on, off = {id(layer) for layer in trained}, {id(layer) for layer in frozen}
    wanted = {
        id(layer): id(layer) not in off and (layer.trainable or id(layer) in on) for layer in layers
    }
    for layer in reversed(layers):
        wanted[id(layer)] |= any(wanted[id(inner)] for inner in layer._layers)
    changed = {id(layer) for layer in layers if layer.trainable != wanted[id(layer)]}
    own = [variable for layer in layers for variable in layer._trainable_variables]
    kept = {id(variable): variable.trainable for variable in own}
    # Setting a layer sets those inside it too, which come later and then say for themselves.
    for layer in layers:
        layer.trainable = wanted[id(layer)]
        for variable in layer._trainable_variables:
            if id(layer) not in on | off:
                variable.trainable = kept[id(variable)]
    record_gradients(own)
    prepare(model)
    if changed and model.train_function is not None:
        model.make_train_function(force=True)


def prepare(model: keras.Model) -> None:
    """Makes the optimizer ready for exactly the variables of `model` that are trainable now.

    What it knows of a variable it trained before stays: momenta, velocities, step and rate. Keras
    3.15 has no way to add a variable to an optimizer, which refuses those that it was not built
    with ("Unknown variable"). Building it for all of them from the start instead would leave its
    state unreadable: `load_model` builds it for the variables that are trainable by then.
    """
    if not model.built:
        return  # Nor is the optimizer, and the first step builds both.
    optimizer, variables = model.optimizer, model.trainable_variables
    with model.distribute_strategy.scope():
        if not optimizer.built:
            optimizer.build(variables)
        elif keys(optimizer, variables) != keys(optimizer, optimizer._trainable_variables):
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                # Its own build would reset its loss scale.
                keras.optimizers.Optimizer.build(optimizer, variables)
            rebuild(unscaled(optimizer), variables)


def keys(optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]) -> list[Any]:
    """The keys under which `optimizer` knows `variables`."""
    return [optimizer._var_key(variable) for variable in variables]


def rebuild(optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]) -> None:
    """Builds `optimizer` for `variables`, keeping its state of those it was built for."""
    before = state_of(optimizer)
    kept = [v for v in optimizer.variables if v is optimizer._iterations or v is rate_in(optimizer)]
    # In a new list: TensorFlow can neither export nor checkpoint one that has lost an item. With
    # tracking on, Keras would make it a list that adds to itself whatever is added to it.
    with DotNotTrackScope():
        optimizer._variables = kept
    tracker = optimizer._tracker
    tracker.config["variables"] = (tracker.config["variables"][0], optimizer._variables)
    tracker.stored_ids["variables"] = {id(variable) for variable in kept}
    optimizer._trainable_variables_indices = {}
    optimizer.built = False
    optimizer.build(variables)
    for name, slot in state_of(optimizer).items():
        if name in before:
            slot.assign(before[name])


def state_of(optimizer: keras.optimizers.Optimizer) -> dict[tuple[str, Any], keras.Variable]:
    """Returns every variable of `optimizer` by its attribute and the key of what it belongs to.

    Optimizers keep a list for each kind of state, with one entry for each variable they train.
    """
    trained = keys(optimizer, optimizer._trainable_variables)
    found: dict[tuple[str, Any], Any] = {}
    lists = {
        name: value
        for name, value in vars(optimizer).items()
        if isinstance(value, list) and name not in ("_variables", "_trainable_variables")
    }
    for name, slots in lists.items():
        if len(slots) == len(trained):
            found |= {(name, key): slot for key, slot in zip(trained, slots, strict=True)}
    found |= {(name, None): value for name, value in vars(optimizer).items()}
    return {key: slot for key, slot in found.items() if isinstance(slot, keras.Variable)}


def refuse(callback: str, optimizer: keras.optimizers.Optimizer) -> None:
    """Raises ConfigError where `optimizer` cannot take on variables in the middle of a fit."""
    if isinstance(unscaled(optimizer), keras.optimizers.MultiOptimizer):
        raise ConfigError(
            callback,
            "the optimizer is a MultiOptimizer, which deals its variables out when it is built",
            "Use one optimizer, with DiscriminativeLearningRates for the rates of its parts",
        )
    if unscaled(optimizer).use_ema:
        raise ConfigError(
            callback,
            "the optimizer has use_ema=True: at the end of fit Keras puts the averages into the "
            "weights by their position among the trainable ones, and an average of what is "
            "unfrozen on the way would lack all that came before",
            "Compile without use_ema, or unfreeze between two calls of fit, each with a newly "
            "compiled optimizer",
        )


def rate_of(optimizer: keras.optimizers.Optimizer) -> float | None:
    """Returns the learning rate of `optimizer`, or None where it is not one number to be set."""
    rate = rate_in(unscaled(optimizer))
    return float(rate.numpy()) if isinstance(rate, keras.Variable) else None


def rate_in(optimizer: keras.optimizers.Optimizer) -> Any:
    """The source of the learning rate of `optimizer`: a variable, a schedule, or None."""
    return vars(optimizer).get("_learning_rate")


def updates_of(optimizer: keras.optimizers.Optimizer) -> int:
    """The number of updates that `optimizer` has made, on any number of replicas."""
    return int(optimizer.iterations.numpy())
