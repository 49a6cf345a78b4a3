import subprocess
import sys

import pytest

import kft

PINNED = [
    "Backbone",
    "BackboneError",
    "BackboneSource",
    "ConfigError",
    "DataError",
    "DataSource",
    "ExportError",
    "Exporter",
    "Head",
    "Input",
    "KftError",
    "Phase",
    "Prediction",
    "RunConfig",
    "RunResult",
    "Signature",
    "Split",
    "Splits",
    "Stage",
    "Target",
    "Task",
    "TrainingError",
    "Unread",
    "check",
    "evaluate_run",
    "export_run",
    "find_learning_rate",
    "finish_run",
    "from_datasets",
    "init_config",
    "json_schema",
    "layer_stages",
    "load_config",
    "lr_find",
    "open_run",
    "plan",
    "predict",
    "predict_each",
    "run",
]


def test_the_public_names_are_pinned():
    assert kft.__all__ == PINNED


# In a process of its own: a submodule that is imported, such as kft.run, takes the name's place.
def test_every_public_name_is_what_it_says_whatever_was_imported_before():
    script = """
import kft
assert callable(kft.callbacks.UnfreezeBackbone)
first = {name: getattr(kft, name) for name in kft.__all__}
for name in kft.__all__:
    assert getattr(kft, name) is first[name], name
    assert first[name].__name__ == name, name
    assert callable(first[name]), name
from kft import run, plan, check, predict
assert all(map(callable, (run, plan, check, predict)))
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_importing_kft_and_its_contracts_imports_no_tensorflow():
    script = """
import sys
from kft import *
print(*({"tensorflow", "keras", "numpy"} & {*sys.modules}))
"""
    command = [sys.executable, "-c", script]

    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert shown.stdout.split() == []


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="module 'kft' has no attribute 'trian'"):
        _ = kft.trian


def test_the_names_are_listed():
    assert dir(kft) == kft.__all__
