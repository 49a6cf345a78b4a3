"""What ends a run: a callback, an optimizer, and an exporter, once; and too little memory."""

import os
import signal
from pathlib import Path

import keras
import tensorflow as tf
from tiny import TinyDense

from kft.backbone import Backbone, layer_stages
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


class StopAt(keras.callbacks.Callback):
    """Stops a run as an epoch begins: by an exception, or by the signal of Ctrl-C."""

    def __init__(self, epoch: int, how: str) -> None:
        super().__init__()
        self.stop = epoch
        self.how = how

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.stop and self.how == "SIGINT":
            os.kill(os.getpid(), signal.SIGINT)
        elif epoch == self.stop:
            raise {"Killed": Killed, "KeyboardInterrupt": KeyboardInterrupt}[self.how]


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


class ResourceExhaustedOnce(keras.callbacks.Callback):
    """Fails in the second step of an epoch as a GPU without memory does, unless it has before."""

    def __init__(self, epoch: int, mark: str) -> None:
        super().__init__()
        self.fatal = epoch
        self.mark = Path(mark)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.fatal and batch == 1 and not self.mark.exists():
            self.mark.touch()
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


class Hungry(keras.layers.Layer):
    """Asks for more memory than there is, once it is given examples."""

    def call(self, inputs):
        if inputs.shape[0] is not None:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating 9 TB")
        return inputs


class HungryBackbone(TinyDense):
    """Cannot be computed."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        model = keras.Model(inputs, Hungry()(keras.layers.Dense(4, name="low")(inputs)))
        return Backbone("hungry", model, layer_stages(model), self.batch_norm)
