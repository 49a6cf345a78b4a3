"""Ends a command cleanly on Ctrl-C and SIGTERM, each with its own exit code."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# What stands for a signal that nobody has replaced yet; one that is ignored, as by nohup, stays so.
REPLACED: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}

# In so many seconds a signal is looked at again that came where none can end anything.
SOON = 0.05


@contextmanager
def requests_to_end() -> Iterator[list[int]]:
    """Raises KeyboardInterrupt when a signal asks the process to end; gives those that have come.

    So what ends jobs finds the best weights written and the rest cleared up, as Ctrl-C does.
    """
    came: list[int] = []
    again: list[threading.Timer] = []

    def end(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if not is_deleting(frame):
            raise KeyboardInterrupt
        again.append(threading.Timer(SOON, signal.raise_signal, [number]))
        again[-1].start()

    ours = replaceable()
    for kind in ours:
        signal.signal(kind, end)
    try:
        yield came
    finally:
        for kind in ours:
            signal.signal(kind, REPLACED[kind])
        for timer in again:
            timer.cancel()


def replaceable() -> list[signal.Signals]:
    """Returns the signals that nobody has taken; none in a thread, which cannot take any."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [kind for kind, before in REPLACED.items() if signal.getsignal(kind) == before]


def is_deleting(frame: FrameType | None) -> bool:
    """Says whether an object is being deleted, where Python lets no exception pass.

    TensorFlow 2.21 deletes many while it exports, each within a bare ``except``.
    """
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def exit_code(came: list[int]) -> int:
    """The exit code of a command that the first of the signals ended."""
    return 128 + (came or [signal.SIGINT])[0]
