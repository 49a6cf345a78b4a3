"""Writes a first config for data, with a reason for each choice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft.config.run_config import default_of, load_config
from kft.data import Splits
from kft.errors import ConfigError
from kft.heads.layers import FITTING
from kft.results.counts import class_counts
from kft.settings.override import apply_override
from kft.sources.detect import data_at
from kft.sources.exclude import load_splits

FEW_EXAMPLES = 320
UNEVEN = 3.0
BACKBONE = {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"}


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
    data: str | Path, output: Path | None = None, overrides: Sequence[str] = ()
) -> InitResult:
    """Writes a config for the `data`: to `output`, or named after it.

    That is a folder of class folders, a table, an ``.npz`` file, TFRecord files, or a data set that
    tensorflow-datasets has prepared. `overrides` are as those of `load_config`, and say what the
    data does not.

    Raises:
        DataError: There is nothing to train on, or more than one way to understand it.
        ConfigError: The file is there already.
    """
    path = output or Path(f"{name_of(Path(data))}.json")
    if path.exists():
        raise ConfigError(str(path), "is there already", "Give another name with --output")
    settings: dict[str, Any] = {"data": {"input": {"kind": "image"}}, "backbone": {**BACKBONE}}
    for override in overrides:
        apply_override(settings, override, default_of)
    recognised = data_at(str(data), settings["data"])
    settings["data"] = recognised.settings | settings["data"]
    config = load_config(settings)
    splits = load_splits(config.data, config.seed)
    reasons = recognised.reasons | choose(settings, splits)
    load_config(settings)
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return InitResult(path, settings, reasons, splits.notes)


def name_of(data: Path) -> str:
    """Returns what a config for the `data` is called, without its ending."""
    return data.resolve().name if data.is_dir() else data.stem


def choose(settings: dict[str, Any], splits: Splits) -> dict[str, str]:
    """Fills `settings` in for what was found, and returns the reasons."""
    reasons = choose_size(settings["data"], splits)
    if settings["backbone"] == BACKBONE:
        reasons["backbone"] = (
            "its ImageNet weights come with kft, so nothing is downloaded; `kft backbones` lists "
            "stronger ones"
        )
    reasons |= {
        "phases": "left out: the default trains the head, then everything at a low rate",
        "data.input.augment": "left out, so that the frozen backbone runs over the data only once. "
        'If validation falls far behind training, add {"kind": "flip"} and {"kind": "zoom"}',
    }
    settings.setdefault("head", {"kind": FITTING[splits.target.kind]})
    counts = list(class_counts(splits)["train"].values())
    is_uneven = splits.target.kind == "class" and max(counts) > UNEVEN * min(counts)
    if is_uneven and "class_weights" not in settings:
        settings["class_weights"] = "balanced"
        reasons["class_weights"] = f"the classes are uneven, from {min(counts)} to {max(counts)}"
    return reasons


def choose_size(data: dict[str, Any], splits: Splits) -> dict[str, str]:
    """Fills in how large images and batches are, and returns the reasons."""
    from kft.image.sizes import fitting_size

    reasons = {}
    if data["input"].get("kind") == "image" and "size" not in data["input"]:
        size, reasons["data.input.size"] = fitting_size(splits.train)
        data["input"]["size"] = [size, size]
    if "batch_size" not in data:
        few = splits.train.size < FEW_EXAMPLES
        data["batch_size"] = 8 if few else 32
        reasons["data.batch_size"] = f"{splits.train.size} training images" + (
            ": small batches take more steps" if few else ""
        )
    return reasons
