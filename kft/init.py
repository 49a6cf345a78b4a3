"""Writes a first config for a folder, with a reason for each choice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft.config import load_config
from kft.counts import class_counts
from kft.data import Splits
from kft.errors import ConfigError
from kft.exclude import find

FEW_EXAMPLES = 320
UNEVEN = 3.0


@dataclass(frozen=True)
class InitResult:
    """A config that was written.

    Attributes:
        reasons: Why it says what it says, by the key.
        config: Its content.
    """

    path: Path
    config: Mapping[str, Any]
    reasons: Mapping[str, str]


def init_config(folder: str | Path, output: Path | None = None) -> InitResult:
    """Writes a config for the class folders in `folder`: to `output`, or named after the folder.

    Raises:
        DataError: There is nothing to train on.
        ConfigError: The file is there already.
    """
    path = output or Path(f"{Path(folder).resolve().name}.json")
    if path.exists():
        raise ConfigError(str(path), "is there already", "Give another name with --output")
    settings: dict[str, Any] = {
        "data": {"kind": "folder", "path": str(folder), "input": {"kind": "image"}},
        "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
        "head": {"kind": "classifier"},
    }
    config = load_config(settings)
    splits = find(config.data, config.seed)
    reasons = choose(settings, splits)
    load_config(settings)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return InitResult(path, settings, reasons)


def choose(settings: dict[str, Any], splits: Splits) -> dict[str, str]:
    """Fills `settings` in for what was found, and returns the reasons."""
    from kft.image.sizes import fitting_size

    size, why = fitting_size(splits.train)
    settings["data"]["input"]["size"] = [size, size]
    few = splits.train.size < FEW_EXAMPLES
    settings["data"]["batch_size"] = 8 if few else 32
    counts = list(class_counts(splits)["train"].values())
    reasons = {
        "data.input.size": why,
        "data.batch_size": f"{splits.train.size} training images"
        + (": small batches take more steps" if few else ""),
        "backbone": "its ImageNet weights come with kft, so nothing is downloaded; "
        "`kft backbones` lists stronger ones",
        "phases": "left out: the default trains the head, then everything at a low rate",
        "data.input.augment": "left out, so that the frozen backbone runs over the data only once. "
        'If validation falls far behind training, add {"kind": "flip"} and {"kind": "zoom"}',
    }
    if max(counts) > UNEVEN * min(counts):
        settings["class_weights"] = "balanced"
        reasons["class_weights"] = f"the classes are uneven, from {min(counts)} to {max(counts)}"
    return reasons
