"""kft: two-phase transfer learning in Keras 3 from one JSON file.

Everything the command line does is one function here. Importing kft imports no TensorFlow.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load_config": "kft.config",
    "RunConfig": "kft.config",
    "json_schema": "kft.schema",
    "run": "kft.run",
    "RunResult": "kft.run",
    "open_run": "kft.run",
    "check": "kft.check",
    "plan": "kft.plan",
    "lr_find": "kft.lr_find",
    "find_learning_rate": "kft.finder.range_test",
    "predict": "kft.predict",
    "evaluate_run": "kft.later",
    "export_run": "kft.later",
    "init_config": "kft.init",
    "from_datasets": "kft.sources.dataset",
    "Input": "kft.input",
    "Signature": "kft.input",
    "DataSource": "kft.data",
    "Split": "kft.data",
    "Splits": "kft.data",
    "Target": "kft.data",
    "BackboneSource": "kft.backbone",
    "Backbone": "kft.backbone",
    "Stage": "kft.backbone",
    "layer_stages": "kft.backbone",
    "Head": "kft.head",
    "Task": "kft.task",
    "Phase": "kft.phase",
    "Exporter": "kft.exporter",
    "KftError": "kft.errors",
    "ConfigError": "kft.errors",
    "DataError": "kft.errors",
    "BackboneError": "kft.errors",
    "TrainingError": "kft.errors",
    "ExportError": "kft.errors",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


class _Api(ModuleType):
    """The package: `kft.run` is the function, although Python binds the module of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        """Puts the public function where the import of its module would put the module."""
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Api


def __getattr__(name: str) -> Any:
    """Imports a public name from its home, or `kft.callbacks`, when it is first used."""
    if name == "callbacks":
        return importlib.import_module("kft.callbacks")
    if name not in _HOMES:
        raise AttributeError(f"module 'kft' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__]
