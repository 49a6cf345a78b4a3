"""What kills a run once: a callback, an optimizer, and an exporter."""

import os
import signal
from pathlib import Path

import keras
import tensorflow as tf

from kft.exporter import Exporter
from kft.recipe.optimizer import Sgd


class Killed(BaseException):
    """Ends a run as nothing that is caught does."""


class KillOnce(keras.callbacks.Callback):
    """Ends training at the end of an epoch, unless it has done so before.

    Raises `Killed`, or kills the whole process if told to.
    """

    def __init__(self, epoch: int, mark: str, process: bool = False) -> None:
        super().__init__()
        self.epoch = epoch
        self.mark = Path(mark)
        self.process = process

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch and not self.mark.exists():
            self.mark.touch()
            if self.process:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed


class KillingSgd(Sgd):
    """SGD that ends the run in place of being built for the `fatal`-th time, once.

    The file `mark` has a letter for each time that it was built.
    """

    mark: str
    fatal: int

    def build(self, rate, clip_norm):
        mark = Path(self.mark)
        built = mark.read_text() if mark.exists() else ""
        mark.write_text(f"{built}x")
        if len(built) + 1 == self.fatal:
            raise Killed
        return super().build(rate, clip_norm)


class WeightsFile(Exporter):
    """Writes weights; with a `mark`, it is killed once, before they are all there."""

    file: str
    mark: str | None = None

    @property
    def output(self):
        return f"{self.file}.weights.h5"

    def write(self, task, path):
        path.touch()
        if self.mark is not None and not Path(self.mark).exists():
            Path(self.mark).touch()
            raise Killed
        task.model.save_weights(path)

    def ask(self, path, task, raw):
        task.model.load_weights(path)
        return task.model(tf.stack([task.input.decode(each) for each in raw])).numpy()
