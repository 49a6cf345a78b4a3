"""Writes a first config for data, with a reason for each choice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import PydanticCustomError

from kft.config.run_config import default_of, load_config
from kft.data import Split, Splits
from kft.errors import ConfigError
from kft.heads.layers import FITTING
from kft.input import Input
from kft.messages import short_repr
from kft.results.counts import class_counts
from kft.settings.catalog import USUAL_INPUT
from kft.settings.component import find_component
from kft.settings.override import apply_override
from kft.sources.detect import data_at
from kft.sources.exclude import load_splits

if TYPE_CHECKING:
    import tensorflow as tf

UNEVEN = 3.0
# Examples that an input may look at.
LOOKED_AT = 200


@dataclass(frozen=True)
class InitResult:
    """A config that was written.

    Attributes:
        reasons: Why it says what it says, by the key.
        config: Its content.
        notes: What a person should know of the data, as a plan notes it too.
    """

    path: Path
    config: Mapping[str, Any]
    reasons: Mapping[str, str]
    notes: tuple[str, ...]


def init_config(
    data: str | Path,
    output: Path | None = None,
    overrides: Sequence[str] = (),
    trust: Iterable[str] | None = None,
) -> InitResult:
    """Writes a config for the `data`: to `output`, or named after it.

    That is a folder of class folders, a table, an ``.npz`` file, TFRecord files, or a data set that
    tensorflow-datasets has prepared. `overrides` are as those of `load_config`, and say what the
    data does not. `trust` names the packages whose classes may be used; None trusts all.

    Raises:
        DataError: There is nothing to train on, or more than one way to understand it.
        ConfigError: The file is there already.
    """
    path = output or Path(f"{name_of(Path(data))}.json")
    if path.exists():
        raise ConfigError(str(path), "already exists", "Give another name with --output")
    said: dict[str, Any] = {}
    for override in overrides:
        apply_override(said, override, default_of)
    settings = deepcopy(said)
    found = add_input_and_backbone(settings, trust)
    endings = (*found.file_endings, *found.converted_endings)
    recognised = data_at(str(data), settings["data"], endings)
    settings["data"] = recognised.settings | settings["data"]
    config = load_config(settings, trust=trust)
    splits = load_splits(config.data, config.seed)
    reasons = recognised.reasons | choose(settings, splits, said)
    load_config(settings, trust=trust)
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return InitResult(path, settings, reasons, splits.notes)


def add_input_and_backbone(settings: dict[str, Any], trust: Iterable[str] | None) -> type[Input]:
    """Adds to `settings` the kind of input, which it returns, and the backbone of its beginning.

    Raises:
        ConfigError: There is no such input, or it names no backbone.
    """
    data = object_at(settings, "data")
    given, backbone = object_at(data, "input"), object_at(settings, "backbone")
    kind = given.setdefault("kind", USUAL_INPUT)
    try:
        found = cast("type[Input]", find_component(Input.role, kind, trust))
    except PydanticCustomError as error:
        fix = "Say one with --set data.input.kind; a class of your own is module:Class"
        raise ConfigError("data.input", error.message(), fix) from error
    if "kind" in backbone:
        return found
    if found.default_backbone is None:
        raise ConfigError(
            where="backbone",
            problem=f"is left out, and the input {kind!r} has none that it begins with",
            fix="Say one, such as --set backbone.kind=keras_file --set backbone.path=FILE",
        )
    settings["backbone"] = {**found.default_backbone, **backbone}
    return found


def object_at(settings: dict[str, Any], key: str) -> dict[str, Any]:
    """The object at `key` of `settings`, which gets one if it is not there."""
    found = settings.setdefault(key, {})
    if not isinstance(found, dict):
        problem = f"is {short_repr(found)}, expected an object"
        raise ConfigError(f"--set {key}", problem, f"Set its keys, such as {key}.kind")
    return found


def name_of(data: Path) -> str:
    """The name of a config for the `data`, without its ending."""
    return data.resolve().name if data.is_dir() else data.stem


def choose(settings: dict[str, Any], splits: Splits, said: Mapping[str, Any]) -> dict[str, str]:
    """Fills in what was not `said` as it fits the data, and returns the reasons."""
    reasons = take_suggestion(settings, splits, said)
    counted = splits.input.counted(splits.train.size, "training")
    reasons["phases"] = f"left out: the default trains for as long as {counted} ask for"
    settings.setdefault("head", {"kind": FITTING[splits.target.kind]})
    counts = list(class_counts(splits)["train"].values())
    is_uneven = splits.target.kind == "class" and max(counts) > UNEVEN * min(counts)
    if is_uneven and "class_weights" not in settings:
        settings["class_weights"] = "balanced"
        reasons["class_weights"] = f"the classes are uneven, from {min(counts)} to {max(counts)}"
    return reasons


def take_suggestion(
    settings: dict[str, Any], splits: Splits, said: Mapping[str, Any]
) -> dict[str, str]:
    """Fills in what the input suggests and was not `said`, and returns its reasons."""
    suggestion = splits.input.suggest(some_examples(splits.train))
    for place, value in suggestion.settings.items():
        if not is_said(said, place):
            apply_override(settings, f"{place}={json.dumps(value)}", default_of)
    return {place: why for place, why in suggestion.reasons.items() if not is_said(said, place)}


def is_said(said: Mapping[str, Any], place: str) -> bool:
    """Whether what was `said` has something at a place such as ``data.input.size``."""
    node: Any = said
    for key in place.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return False
        node = node[key]
    return True


def some_examples(split: Split) -> Iterator[tf.Tensor]:
    """Yields raw examples from all over a split, but for those that cannot be fetched."""
    import numpy as np
    import tensorflow as tf

    for index in np.linspace(0, split.size - 1, min(split.size, LOOKED_AT)).astype("int64"):
        try:
            yield split.fetch(tf.constant(index))
        except tf.errors.OpError:  # such as of a file that is not there
            continue
