"""A user's own callbacks within a run, which trains in parts of its own.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class UserCallbackAdapter(keras.callbacks.Callback):
    """Shows a user's callback the whole model, also where only the head is being fitted.

    It sees one training for each phase, in however many parts that is done.
    """

    def __init__(self, callback: keras.callbacks.Callback, whole: keras.Model, end: int) -> None:
        super().__init__()
        self._callback = callback
        self._whole = whole
        self._end = end
        self._begun = False
        self._last_logs: dict[str, Any] | None = None

    def set_model(self, model: keras.Model) -> None:
        """Gives the callback the whole model, with the optimizer at work."""
        super().set_model(model)
        self._whole.optimizer = model.optimizer
        self._whole.stop_training = False
        self._callback.set_model(self._whole)

    def set_params(self, params: dict[str, Any]) -> None:
        """Hands on the number of steps, and that of the epochs at the end of the phase."""
        super().set_params(params)
        self._callback.set_params({**params, "epochs": self._end})

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Tells the callback of the first beginning."""
        if not self._begun:
            self._callback.on_train_begin(logs)
            self.model.stop_training |= self._whole.stop_training
        self._begun = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Waits for the end of the phase."""
        self._last_logs = logs

    def close(self) -> None:
        """Tells the callback of the end."""
        self._callback.on_train_end(self._last_logs)


class Listening(keras.callbacks.Callback):
    """Tells a user's callback of the batches of validation, but not of the model that is asked."""

    def __init__(self, user: UserCallbackAdapter) -> None:
        super().__init__()
        self.on_test_begin = user.on_test_begin
        self.on_test_end = user.on_test_end
        self.on_test_batch_begin = user.on_test_batch_begin
        self.on_test_batch_end = user.on_test_batch_end


def forward(hook: str) -> Callable[..., None]:
    """Returns a method that calls `hook` of the user's callback and obeys its wish to stop."""

    def call(self: UserCallbackAdapter, *arguments: Any, **keywords: Any) -> None:
        getattr(self._callback, hook)(*arguments, **keywords)
        self.model.stop_training |= self._whole.stop_training

    return call


for _when in ("begin", "end"):
    for _what in ("epoch", "train_batch", "test", "test_batch"):
        setattr(UserCallbackAdapter, f"on_{_what}_{_when}", forward(f"on_{_what}_{_when}"))
