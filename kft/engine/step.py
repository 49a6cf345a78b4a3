"""Builds the optimizer of a phase: one of Keras, and what the phase adds to its step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from kft.backbone import Backbone
from kft.errors import ConfigError
from kft.layers.layer_rates import depth_factors, scale_updates
from kft.layers.precision import loss_scaled
from kft.layers.update_step import L2SP, by_key, chain_of
from kft.phase import Phase
from kft.task import Task

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kft.engine.phase_rate import PhaseRate

HEAD = "head"

Pretrained = Mapping[int, "tf.Tensor"]


def pretrained_values(task: Task, phases: Iterable[Phase]) -> Pretrained:
    """Returns a copy of each weight of the backbone by the ``id()`` of its variable.

    Empty if none of `phases` has an ``l2_sp``. Call it before anything is trained.
    """
    import tensorflow as tf

    if not any(phase.l2_sp for phase in phases):
        return {}
    return {
        id(variable): tf.identity(variable.value)
        for stage in task.backbone.stages
        for variable in stage.variables
    }


def optimizer_of(
    phase: Phase, task: Task, model: keras.Model, rate: PhaseRate, pretrained: Pretrained
) -> keras.optimizers.Optimizer:
    """Returns a new optimizer for `phase` to train `model`, a part of `task` or all of it.

    `kft.layers.update_step` says in which order the additions act.
    """
    from kft.distribute.replicated import take_sums

    optimizer = phase.optimizer.build(rate, phase.clip_norm)
    trained = task.model.trainable_variables
    pulled = [v for v in trained if phase.l2_sp and id(v) in pretrained]
    # Shrinking biases and the gains of normalisations does not keep anything from overfitting.
    flat = [variable for variable in trained if len(variable.shape) < 2]
    optimizer.exclude_from_weight_decay(var_list=[*flat, *pulled])
    factors = variable_factors(phase, task)
    if factors:
        scale_updates(optimizer, factors)
    if pulled:
        anchors = by_key(optimizer, [(v, pretrained[id(v)]) for v in pulled])
        chain_of(optimizer).add(L2SP(anchors, phase.l2_sp))
    take_sums(optimizer)
    return loss_scaled(optimizer, model)


def variable_factors(phase: Phase, task: Task) -> list[tuple[keras.Variable, float]]:
    """Returns the rate factor of each trained variable; empty if all factors are 1."""
    factors = stage_factors(phase, task.backbone)
    if set(factors.values()) == {1.0}:
        return []
    of = {id(v): factors[stage.name] for stage in task.backbone.stages for v in stage.variables}
    return [(v, of.get(id(v), factors[HEAD])) for v in task.model.trainable_variables]


def stage_factors(phase: Phase, backbone: Backbone) -> dict[str, float]:
    """Returns the rate factor of every stage by its name, input side first, then the head's.

    Raises:
        ConfigError: A pattern of ``rate_factors`` matches no stage, or two match the same;
            ``where`` is relative to the phase.
    """
    names = [stage.name for stage in backbone.stages]
    factors = dict(zip(names, depth_factors(len(names), phase.layer_decay or 1.0), strict=True))
    factors[HEAD] = 1.0
    chosen: dict[str, str] = {}
    for pattern, factor in phase.rate_factors.items():
        matched = [name for name in factors if re.fullmatch(pattern, name)]
        check_pattern(pattern, matched, chosen, backbone)
        chosen |= dict.fromkeys(matched, pattern)
        factors |= {name: factors[name] * factor for name in matched}
    return factors


def check_pattern(
    pattern: str, matched: Sequence[str], chosen: Mapping[str, str], backbone: Backbone
) -> None:
    """Raises ConfigError if `pattern` matched nothing, or a stage that is already `chosen`."""
    where = f"rate_factors[{pattern!r}]"
    if not matched:
        first, last = backbone.stages[0].name, backbone.stages[-1].name
        raise ConfigError(
            where=where,
            problem=f"matches neither the head nor any of the {len(backbone.stages)} stages of "
            f"{backbone.name!r}, such as {first!r} and {last!r}",
            fix="Give a pattern that matches the whole name, such as '.*block_1[3-6].*', or 'head'",
        )
    twice = next((name for name in matched if name in chosen), None)
    if twice is not None:
        raise ConfigError(
            where=where,
            problem=f"matches {twice!r}, as {chosen[twice]!r} does",
            fix="Make the patterns match different stages",
        )
