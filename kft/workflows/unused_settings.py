"""Which settings of a config change nothing in the run that it plans."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from kft.backbone import Backbone, batch_norm_variables
from kft.config.run_config import RunConfig
from kft.engine.step import HEAD
from kft.input import Input
from kft.phase import Phase
from kft.pipeline.augment import augmenting_input
from kft.recipe.schedule import Plateau


def unused_settings(
    config: RunConfig, backbone: Backbone, trained: Sequence[Collection[str]]
) -> Iterator[str]:
    """Yields which settings change nothing where each phase trains the stages `trained`."""
    for phase, stages in zip(config.phases, trained, strict=True):
        yield from idle_in_phase(phase, stages)
    yield from idle_augmentation(config.data.input, config.phases)
    yield from idle_caches(config)
    policy = backbone.batch_norm
    if policy != "frozen" and not batch_norm_variables(backbone.model):
        yield f"the backbone has no batch normalisation, so batch_norm {policy!r} changes nothing"
    elif policy != "frozen" and not any(trained):
        yield f"no phase trains the backbone, so batch_norm {policy!r} changes nothing"


def idle_in_phase(phase: Phase, stages: Collection[str]) -> Iterator[str]:
    """Yields which settings of `phase`, which trains `stages` in the end, change nothing."""
    name = f"phase {phase.name!r}"
    idle = () if stages else ("layer_decay", "l2_sp")
    for setting in filter(lambda setting: getattr(phase, setting), idle):
        yield f"{name} trains the head alone, so {setting} changes nothing in it"
    for pattern in phase.rate_factors:
        if not any(re.fullmatch(pattern, trained) for trained in (*stages, HEAD)):
            yield f"{name} trains none of what rate_factors[{pattern!r}] matches"
    if phase.mix_off_epochs and not phase.mixes:
        yield f"{name} has neither mixup nor cutmix for mix_off_epochs to end"
    yield from idle_patience(phase)


def idle_patience(phase: Phase) -> Iterator[str]:
    """Yields which settings of `phase` wait longer than it lasts."""
    waits = {}
    if phase.early_stopping is not None:
        waits["early_stopping"] = phase.early_stopping.patience
    if isinstance(phase.schedule, Plateau):
        waits["schedule"] = phase.schedule.patience
    for setting, patience in waits.items():
        # It counts from the second epoch on, and after the last there is nothing left to change.
        if patience > phase.epochs - 2:
            yield (
                f"phase {phase.name!r} is over before the patience of its {setting}, {patience}, "
                "runs out"
            )


def idle_augmentation(input: Input, phases: Sequence[Phase]) -> Iterator[str]:
    """Yields whether what augments the examples of `input` changes nothing in `phases`."""
    if input.is_augmented and all(augmenting_input(phase, input) is not input for phase in phases):
        yield "each phase has an augment of its own, so that of data.input changes nothing"


def idle_caches(config: RunConfig) -> Iterator[str]:
    """Yields which settings that begin with ``cache`` change nothing."""
    augmented = [phase for phase in config.phases if augmenting_input(phase, config.data.input)]
    if config.cache_views and not augmented:
        yield "the examples are not augmented, so cache_views changes nothing"
    elif config.cache_views and all(phase.mixes for phase in augmented):
        yield "every phase that augments also mixes its examples, so cache_views changes nothing"
    elif config.cache_views and config.cache == "off":
        yield "cache is off, so cache_views changes nothing"
    if config.cache_dtype == "float16" and config.cache == "off":
        yield "cache is off, so cache_dtype changes nothing"
