"""A Keras callback of your own, named in a config.

A config names any class as ``module:Class``; its other keys go to the constructor. Since that
runs code, kft asks whether the package is trusted. `load_config(trust=...)` answers here; on the
command line it is

    cd examples && kft run good_enough.json --trust own_callback

This script writes such a config for scikit-learn's digits, shows what happens without trust, and
runs it: every phase ends as soon as validation is good enough. Takes half a minute on two cores.

    python examples/own_callback.py             # works in a new temporary folder
    python examples/own_callback.py my_digits   # or in a folder you name
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras

import kft


class GoodEnough(keras.callbacks.Callback):
    """Ends a phase once the validation accuracy reaches `accuracy`.

    kft makes a fresh one for each phase, shows it the whole model and adds ``val_…`` to the logs.
    """

    def __init__(self, accuracy: float) -> None:
        super().__init__()
        self.accuracy = accuracy

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the scores of the epoch."""
        if logs["val_accuracy"] >= self.accuracy:
            print(f"Epoch {epoch + 1}: {logs['val_accuracy']:.3f} is good enough")
            self.model.stop_training = True


CONFIG = {
    "data": {"kind": "digits", "input": {"kind": "image", "size": [32, 32]}},
    "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
    "phases": [
        {
            "name": "head",
            "epochs": 30,
            "optimizer": {"kind": "adam", "learning_rate": 1e-2},
            "unfreeze": {"kind": "none"},
        }
    ],
    "callbacks": [{"kind": "own_callback:GoodEnough", "accuracy": 0.75}],
    # The story is over when training ends: nothing is exported.
    "exporters": [],
}


def main(work: Path) -> None:
    """Runs the example in the folder `work`."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "good_enough.json"
    path.write_text(json.dumps({**CONFIG, "output_dir": str(work / "run")}, indent=2))

    try:
        kft.load_config(path, trust=[])
    except kft.ConfigError as error:
        print(f"Without trust: {error}")

    config = kft.load_config(path, trust=["own_callback"])
    result = kft.run(config)
    (phase,) = result.phases
    print(f"Ran {len(phase.epochs)} of {config.phases[0].epochs} epochs")
    print(f"Test accuracy: {result.scores['test']['accuracy']:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="kft-")))
