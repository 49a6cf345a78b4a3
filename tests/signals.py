"""Callbacks for runs that are ended from outside, which a config names."""

import json
import os
import signal
from pathlib import Path

import keras
import numpy as np
from tiny import Ramp

from kft.exporter import Exporter


def own_number():
    return json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index", 0)


class SignalsItself(keras.callbacks.Callback):
    """Sends a signal to its process, that of one worker, in the middle of an epoch, and says so."""

    def __init__(self, name, epoch, step, worker=0):
        super().__init__()
        self.signal = signal.Signals[name]
        self.mine = own_number() == worker
        self.at = (epoch, step)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.mine and (self.epoch, batch) == self.at:
            print(f"sends itself {self.signal.name}", flush=True)  # noqa: T201
            os.kill(os.getpid(), self.signal)


class Waits(keras.callbacks.Callback):
    """Says so, and waits for a signal before an epoch, in the process of one worker."""

    def __init__(self, epoch, worker):
        super().__init__()
        self.mine = own_number() == worker
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if self.mine and epoch == self.epoch:
            print("waits", flush=True)  # noqa: T201
            signal.pause()


class SignalsOnce:
    """Sends a signal to its process, unless it has done so before and left its mark."""

    signal_name: str = "SIGINT"
    mark: str

    def send(self):
        if not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.Signals[self.signal_name])


class SignalsAtData(SignalsOnce, Ramp):
    """Asks the process to end while it finds examples."""

    def load(self, seed):
        self.send()
        return super().load(seed)


class SignalsAtExport(SignalsOnce, Exporter):
    """Asks the process to end while it exports."""

    @property
    def output(self):
        return "nothing"

    def write(self, task, path):
        self.send()
        path.touch()

    def ask(self, path, task, raw):
        return np.asarray(task.model(raw[:1]))
