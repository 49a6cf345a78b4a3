"""The JSON Schema says what `load_config` takes, kind by kind."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import kft
from kft.config.run_config import load_config
from kft.config.schema import json_schema
from kft.settings.catalog import CATALOG

CONFIGS = sorted((Path(kft.__file__).parent / "configs").glob("*.json"))
SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
CONTRACTS = {
    "data": "DataSource",
    "input": "Input",
    "augmentation": "Augmentation",
    "backbone": "BackboneSource",
    "head": "Head",
    "optimizer": "Optimizer",
    "schedule": "Schedule",
    "unfreeze": "Unfreeze",
    "exporter": "Exporter",
}
FULL = {
    "$schema": "./schema.json",
    "output_dir": "runs/x",
    "seed": 1,
    "data": {
        "kind": "folder",
        "path": "photos",
        "input": {"kind": "image", "size": [96, 96], "augment": [{"kind": "flip"}]},
        "split": {"validation": 0.2, "test": 0},
    },
    "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": None},
    "head": {"kind": "classifier", "hidden": [8]},
    "phases": [
        {
            "name": "head",
            "epochs": 1,
            "optimizer": {"kind": "adam"},
            "schedule": {"kind": "cosine", "warmup_epochs": 0.5},
            "unfreeze": {"kind": "top", "fraction": 0.5},
            "early_stopping": {"patience": 2},
        }
    ],
    "class_weights": {"cats": 2},
    "callbacks": [{"kind": "keras.callbacks:TerminateOnNaN"}],
    "exporters": [{"kind": "saved_model"}],
}


def faults(config: object) -> list[str]:
    return [fault.message for fault in VALIDATOR.iter_errors(config)]


def changed(path: str, value: object) -> dict[str, object]:
    """Returns the full config with one more or one other value in it."""
    config = copy.deepcopy(FULL)
    *parents, last = path.split(".")
    node = config
    for key in parents:
        node = node[int(key)] if key.isdigit() else node[key]
    node[last] = value
    return config


def test_it_is_a_valid_schema_of_its_draft():
    Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_every_shipped_config_loads_and_fits(path):
    assert load_config(path)
    assert faults(json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_a_resolved_config_fits_too(path):
    resolved = json.loads(load_config(path).to_json())

    assert faults(resolved) == []


def test_a_config_with_every_key_fits_and_loads():
    assert load_config(FULL)
    assert faults(FULL) == []


@pytest.mark.parametrize("role", CATALOG)
def test_a_contract_has_a_branch_for_each_kind_and_one_for_a_class_of_ones_own(role):
    branches = SCHEMA["$defs"][CONTRACTS[role]]["oneOf"]

    kinds = [branch["properties"]["kind"] for branch in branches]

    assert kinds == [
        *({"const": kind} for kind in CATALOG[role]),
        {"type": "string", "pattern": ":"},
    ]
    assert all("kind" in branch["required"] for branch in branches)
    assert all(branch["additionalProperties"] is False for branch in branches[:-1])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.kind", "own.module:Source"),
        ("head", {"kind": "own:Head", "anything": [1, {}]}),
        ("phases.0.optimizer", {"kind": "sgd", "momentum": 0.9, "nesterov": True}),
        ("phases.0.early_stopping", None),
        ("phases.0.clip_norm", None),
        ("class_weights", "balanced"),
        ("callbacks.0.patience", 3),
    ],
)
def test_what_a_config_may_say_fits(path, value):
    assert faults(changed(path, value)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seeed", 1),
        ("seed", -1),
        ("head.kind", "clasifier"),
        ("head.kind", 3),
        ("head.hiden", [3]),
        ("head.dropout", 1),
        ("data.pth", "photos"),
        ("data.input.kind", "imag"),
        ("data.input.size", [96]),
        ("data.input.augment.0.degrees", 3),
        ("data.split.train", 0.5),
        ("backbone.pooling", "sum"),
        ("phases", []),
        ("phases.0.epochs", 0),
        ("phases.0.epoch", 3),
        ("phases.0.optimizer.momentum", 0.9),
        ("phases.0.schedule.factor", 0.9),
        ("phases.0.unfreeze.stage", "x"),
        ("phases.0.unfreeze.kind", "topp"),
        ("class_weights", "ballanced"),
        ("class_weights.cats", 0),
        ("callbacks.0.kind", "TerminateOnNaN"),
        ("exporters.0.kind", "saved_modl"),
        ("exporters.0.path", "x"),
    ],
)
def test_what_a_config_may_not_say_does_not_fit(path, value):
    assert faults(changed(path, value))


@pytest.mark.parametrize("key", ["data", "backbone"])
def test_a_key_that_is_needed_is_required(key):
    config = {name: value for name, value in FULL.items() if name != key}

    assert faults(config) == [f"{key!r} is a required property"]


def test_the_output_directory_may_be_left_out():
    config = {name: value for name, value in FULL.items() if name != "output_dir"}

    assert faults(config) == []


def test_each_setting_says_what_it_is_for():
    (branch,) = [
        branch
        for branch in SCHEMA["$defs"]["Unfreeze"]["oneOf"]
        if branch["properties"]["kind"].get("const") == "top"
    ]

    described = {name: field.get("description") for name, field in branch["properties"].items()}

    assert described["stages"] == "How many."
    assert described["fraction"] == "What share of them, rounded up."
    assert branch["description"] == (
        "Trains the stages nearest the head; give one of the two settings."
    )
