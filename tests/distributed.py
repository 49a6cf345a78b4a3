"""Runs that must be equal on one device, on two of one process, and in two processes.

As a program it is one worker: ``TF_CONFIG=… python tests/distributed.py RESULTS``, in a directory
with a TF-Hub module in it.
"""

import json
import sys
import tempfile
from pathlib import Path

import noted
import numpy as np
import pytest

from kft.config.run_config import load_config
from kft.distribute.strategy import Distribute
from kft.workflows.run import run

PHASES = (
    {
        "name": "head",
        "epochs": 1,
        "optimizer": {"kind": "adamw", "learning_rate": 0.01},
        "unfreeze": {"kind": "none"},
    },
    {
        "name": "tune",
        "epochs": 2,
        "optimizer": {"kind": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        "unfreeze": {"kind": "all"},
        "clip_norm": 0.5,
    },
)
BASE = {
    "data": {"kind": "tiny:Ramp", "input": {"kind": "tiny:Shaken", "strength": 0.1}},
    "backbone": {"kind": "tiny:TinyDense"},
    "head": {"kind": "classifier", "hidden": [5], "dropout": 0.0, "l2": 1e-2},
    "phases": PHASES,
    "class_weights": {"low": 3.0, "middle": 1.0, "high": 1.0},
    "exporters": [],
}
LONGER = {"phases": (PHASES[0], {**PHASES[1], "epochs": 3})}


def tuned(**settings):
    return {"phases": [PHASES[0], {**PHASES[1], **settings}]}


def backbone(batch_norm):
    return {"backbone": {**BASE["backbone"], "batch_norm": batch_norm}}


def ramp(**settings):
    return {"data": {"kind": "tiny:Ramp", **settings}}


# 22 examples in batches of 4: the last holds 2. In batches of 7 it holds 1, for two devices.
CASES = {
    "frozen": {},
    "train": {**backbone("train"), "data": {**BASE["data"], "batch_size": 7}},
    "inference": {**backbone("inference"), "select": "interpolate"},
    "recalibrate": backbone("recalibrate"),
    "accumulate": tuned(accumulate_steps=2, ema=0.9, l2_sp=0.1, layer_decay=0.5),
    "gradual": tuned(unfreeze={"kind": "gradual", "groups": 2}),
    "mixup": {**tuned(mixup=0.3), "select": "last"},
    "labels": {
        **tuned(mixup=0.3, accumulate_steps=2),
        "data": {"kind": "tiny:Tags"},
        "head": {"kind": "multilabel", "hidden": [5], "dropout": 0.0},
        "class_weights": "balanced",
    },
    "float16": {"precision": "mixed_float16"},
    "kept": {**ramp(), "exporters": [{"kind": "saved_model"}]},
    "disk": {
        **ramp(batch_size=32, sizes=(256, 9, 9)),
        "backbone": {"kind": "noted:NotingDense"},
        "cache": "disk",
    },
    "views": {"cache_views": 2},
    "few": {**backbone("train"), **ramp(sizes=(3, 1, 1))},
    "one": ramp(sizes=(1, 1, 1)),
    "stopped": {
        **tuned(epochs=9, early_stopping={"patience": 1}, schedule={"kind": "plateau"}),
        "callbacks": [
            {"kind": "keras.callbacks:EarlyStopping", "monitor": "val_loss", "patience": 2},
            {"kind": "keras.callbacks:CSVLogger", "filename": "log.csv"},
        ],
    },
    "hub": {
        **ramp(),
        "backbone": {"kind": "tf_hub", "handle": "module"},
        "exporters": [{"kind": "saved_model"}],
    },
    "strings": {
        "data": {"kind": "tiny:Texts"},
        "backbone": {"kind": "tiny:TinyWords"},
        "class_weights": None,
    },
    "booleans": {"data": {"kind": "tiny:Signs"}, "backbone": {"kind": "tiny:TinyFlags"}},
}


# Not equal, since two devices draw other masks than one.
DROPOUT = {
    **ramp(batch_size=8, input={"kind": "noted:Noted"}),
    "head": {"kind": "classifier", "hidden": [16], "dropout": 0.5},
}
SEEDS = {f"dropout {seed}": {**DROPOUT, "seed": seed} for seed in range(5)}
# What workers run, one after another; the second of a kind finds the features of the first.
RUNS = {**CASES, "disk again": CASES["disk"], **SEEDS}


def outcome(name, distribute):
    """Runs a case; returns the records of its epochs, its scores and its weights, by name."""
    directory = Path(tempfile.mkdtemp())
    there = {"distribute": distribute, "output_dir": str(directory)}
    result = run(load_config({**BASE, **RUNS[name], **there}))
    if not result.chief:
        return None
    return result.phases, result.scores, weights_in(directory)


def weights_in(directory):
    import h5py

    found = {}

    def take(name, item):
        # A head that trained on kept features is saved with its optimizer.
        if isinstance(item, h5py.Dataset) and "/optimizer/" not in name:
            found[name] = item[()]

    with h5py.File(directory / "checkpoints" / "best.weights.h5") as file:
        file.visititems(take)
    return found


def comparable(phases):
    """The records of all epochs, without names and what depends on the clock."""
    clock = {"seconds", "input_wait", "examples_per_second", "phase"}
    return [
        [{key: value for key, value in record.items() if key not in clock} for record in p.epochs]
        for p in phases
    ]


def assert_equal(found, expected, tolerance=1e-4):
    """The head phase to 1e-5, fine-tuning and all that follows it to `tolerance`."""
    for number, (phase, other) in enumerate(zip(found[0], expected[0], strict=True)):
        for record, wanted in zip(phase, other, strict=True):
            assert record == pytest.approx(wanted, abs=tolerance if number else 1e-5, rel=0)
    for split in ("validation", "test"):
        for score in ("accuracy", "subset_accuracy"):
            assert found[1][split].get(score) == expected[1][split].get(score)
        np.testing.assert_allclose(
            found[1][split]["loss"], expected[1][split]["loss"], atol=tolerance
        )
    assert found[2].keys() == expected[2].keys()
    for key, value in found[2].items():
        np.testing.assert_allclose(value, expected[2][key], atol=tolerance, err_msg=key)


def save(path, outcomes):
    """Writes outcomes by name."""
    results = {name: [comparable(each[0]), each[1]] for name, each in outcomes.items()}
    (path / "outcomes.json").write_text(json.dumps(results))
    arrays = {f"{n}:{k}": v for n, each in outcomes.items() for k, v in each[2].items()}
    np.savez(path / "weights.npz", **arrays)


def load(path, name):
    """Reads the outcome of one case."""
    results = json.loads((path / "outcomes.json").read_text())[name]
    with np.load(path / "weights.npz") as arrays:
        weights = {
            key.split(":", 1)[1]: arrays[key] for key in arrays if key.split(":", 1)[0] == name
        }
    return results[0], results[1], weights


def work(path):
    """Is one worker, which does all runs and tells what it has noted; the chief, what came out."""
    distribute = {"strategy": "multi_worker"}
    outcomes, notes = {}, {}
    for name in RUNS:
        outcomes[name] = outcome(name, distribute)
        notes[name] = noted.taken()
    number = Distribute(**distribute).build().cluster_resolver.task_id
    (path / f"noted{number}.json").write_text(json.dumps(notes))
    if None not in outcomes.values():
        save(path, outcomes)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
