"""From a config to what every command begins with: the data it finds and the model it builds."""

from __future__ import annotations

from dataclasses import dataclass

from kft.backbone import Backbone, batch_norm_variables
from kft.config.recipe import Facts, default_recipe
from kft.config.run_config import RunConfig
from kft.data import Splits, Target
from kft.devices import announce, used_gpus
from kft.input import Input
from kft.layers.precision import Precision, computing_in, speed_note
from kft.progress import say
from kft.sources.exclude import drop_excluded
from kft.storage.assets import refuse_missing_assets
from kft.task import Task, assemble
from kft.workflows.validate import check_config


@dataclass(frozen=True, eq=False)
class SetUp:
    """What a run begins with.

    Attributes:
        config: With the phases worked out, if it names none.
        found: All examples that the data source finds; none has been read yet.
        splits: The same without those that `data.exclude` names.
        task: The backbone with a new head on it.
    """

    config: RunConfig
    found: Splits
    splits: Splits
    task: Task


def say_devices(precision: Precision) -> None:
    """Says what is computed with, and where another `precision` would be faster on it."""
    announce()
    notes = [speed_note(precision, gpu.name, gpu.capability) for gpu in used_gpus()]
    for note in filter(None, dict.fromkeys(notes)):
        say(f"note: {note}")


def set_up(config: RunConfig, pretrained: bool = True) -> SetUp:
    """Finds the data and builds the task, and checks that all settings of `config` fit them.

    Without `pretrained`, the backbone has fresh weights and nothing is downloaded.

    Raises:
        KftError: The data is not there, or a setting fits neither it nor the backbone.
    """
    config.built_callbacks()  # only to know before any work begins that they can be made
    refuse_missing_assets(config.model_parts)
    found = config.data.load(config.seed)
    splits = drop_excluded(found, config.data.exclude)
    task = build_task(config, splits.target, splits.input, pretrained)
    config = with_phases(config, splits, task.backbone)
    check_config(config, splits, task)
    return SetUp(config, found, splits, task)


def with_phases(config: RunConfig, splits: Splits, backbone: Backbone) -> RunConfig:
    """Returns `config` with the default recipe for `splits`, if it names no phases."""
    by_default = not config.phases and config.select != "interpolate"
    refit = by_default if config.refit is None else config.refit
    phases = config.phases or default_recipe(config.effort, facts_of(config, splits, backbone))
    return config.model_copy(update={"phases": phases, "refit": refit})


def facts_of(config: RunConfig, splits: Splits, backbone: Backbone) -> Facts:
    """What the default recipe depends on."""
    return Facts(
        examples=splits.train.size,
        batch_size=config.data.batch_size,
        batch_norm=bool(batch_norm_variables(backbone.model)),
        trains=bool(backbone.stages),
        augments=splits.input.is_augmented or bool(splits.input.standard_augmentations),
        views=bool(config.cache_views),
    )


def build_task(config: RunConfig, target: Target, input: Input, pretrained: bool = False) -> Task:
    """Builds the task of `config`, for weights that come later unless it is `pretrained`."""
    with computing_in(config.precision):
        backbone = config.backbone.load(input.spec, pretrained=pretrained)
    return assemble(backbone, config.head, target, input)
