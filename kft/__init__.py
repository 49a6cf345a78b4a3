"""kft: two-phase transfer learning in Keras 3 from one JSON file.

Everything the command line does is one function here. Importing kft imports no TensorFlow.
To read the code, begin with ``kft/workflows/run.py``: one run, from start to finish.
"""

import importlib
import os
from typing import Any

__version__ = "0.1.0"

# TensorFlow would take all memory of a GPU at once, so that nothing else could run beside it. It
# reads this when it first uses one; what is set already stays.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

_HOMES = {
    "load_config": "kft.config.run_config",
    "RunConfig": "kft.config.run_config",
    "json_schema": "kft.config.schema",
    "run": "kft.workflows.run",
    "RunResult": "kft.workflows.ending",
    "finish_run": "kft.workflows.finish",
    "open_run": "kft.workflows.rerun",
    "check": "kft.workflows.check",
    "plan": "kft.workflows.plan",
    "lr_find": "kft.workflows.lr_find",
    "find_learning_rate": "kft.finder.range_test",
    "predict": "kft.workflows.predict",
    "predict_each": "kft.workflows.predict",
    "Prediction": "kft.workflows.predict",
    "Unread": "kft.sources.unlabelled",
    "evaluate_run": "kft.workflows.rerun",
    "export_run": "kft.workflows.rerun",
    "init_config": "kft.workflows.init",
    "from_datasets": "kft.sources.arrays.dataset",
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


def __getattr__(name: str) -> Any:
    """Imports a public name from its home, or `kft.callbacks`, when it is first used."""
    if name == "callbacks":
        return importlib.import_module("kft.callbacks")
    if name not in _HOMES:
        raise AttributeError(f"module 'kft' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__]
