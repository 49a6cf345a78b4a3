"""Callbacks for runs that are ended from outside, which a config names."""

import json
import os
import signal

import keras


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
