"""A callback that kills its run once."""

import os
import signal
from pathlib import Path

import keras


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
