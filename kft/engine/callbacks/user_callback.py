"""Shows a user's callback one training of the whole model in each phase, however it is trained.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def forward(hook: str) -> Callable[..., None]:
    """Returns a method that calls `hook` of the user's callback, and stops if that asks to."""

    def call(self: UserCallbackAdapter, *arguments: Any, **keywords: Any) -> None:
        getattr(self._callback, hook)(*arguments, **keywords)
        self.model.stop_training |= self._whole.stop_training

    return call


def overrides(callback: keras.callbacks.Callback, *hooks: str) -> bool:
    """Says whether `callback` has a method of its own for one of these `hooks`."""
    own = (getattr(getattr(callback, hook), "__func__", None) for hook in hooks)
    defaults = (getattr(keras.callbacks.Callback, hook) for hook in hooks)
    return any(mine is not default for mine, default in zip(own, defaults, strict=True))


class UserCallbackAdapter(keras.callbacks.Callback):
    """Shows a user's callback the `whole` model, also where only the head is being fitted.

    It sees one training in each phase, whose last epoch is `end`, even where `fit` is called
    several times.

    Attributes:
        by_batch: Whether it is to be called for each single batch of training.
        validates_by_batch: The same, of validation.
    """

    def __init__(self, callback: keras.callbacks.Callback, whole: keras.Model, end: int) -> None:
        super().__init__()
        self._callback = callback
        self._whole = whole
        self._end = end
        self._begun = False
        self._last_logs: dict[str, Any] | None = None
        self.by_batch = overrides(
            callback, "on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"
        )
        self.validates_by_batch = overrides(callback, "on_test_batch_begin", "on_test_batch_end")

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
        """Calls the user's callback the first time only."""
        if not self._begun:
            self._callback.on_train_begin(logs)
            self.model.stop_training |= self._whole.stop_training
        self._begun = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Keeps `logs` for `close`: the phase may go on in another `fit`."""
        self._last_logs = logs

    def close(self) -> None:
        """Calls ``on_train_end`` of the user's callback."""
        self._callback.on_train_end(self._last_logs)

    on_epoch_begin = forward("on_epoch_begin")
    on_epoch_end = forward("on_epoch_end")
    on_train_batch_begin = forward("on_train_batch_begin")
    on_train_batch_end = forward("on_train_batch_end")
    on_test_begin = forward("on_test_begin")
    on_test_end = forward("on_test_end")
    on_test_batch_begin = forward("on_test_batch_begin")
    on_test_batch_end = forward("on_test_batch_end")


class ValidationHooks(keras.callbacks.Callback):
    """Calls a user's callback for the batches of validation; its model stays the whole one."""

    def __init__(self, adapter: UserCallbackAdapter) -> None:
        super().__init__()
        self.by_batch = adapter.validates_by_batch
        self.on_test_begin = adapter.on_test_begin
        self.on_test_end = adapter.on_test_end
        self.on_test_batch_begin = adapter.on_test_batch_begin
        self.on_test_batch_end = adapter.on_test_batch_end
