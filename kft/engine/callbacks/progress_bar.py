"""Shows a progress bar for each epoch.

Imported inside functions only, since it imports Keras.
"""

from __future__ import annotations

import math
from typing import Any

import keras

from kft.progress import EpochBar


class ProgressBar(keras.callbacks.Callback):
    """Shows a bar with the loss for each epoch of `phase`."""

    def __init__(self, phase: str) -> None:
        super().__init__()
        self._phase = phase
        self._bar: EpochBar | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Opens the bar, in place of that of an epoch that was given up."""
        self.close()
        self._bar = EpochBar(f"{self._phase}, epoch {epoch + 1}", self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves the bar to the step that is done."""
        if self._bar is not None:
            self._bar.show(batch + 1, f"loss {(logs or {}).get('loss', math.nan):.4f}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Closes the bar."""
        self.close()

    def close(self) -> None:
        """Closes the bar, if one is open."""
        if self._bar is not None:
            self._bar.close()
