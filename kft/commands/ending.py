"""Ctrl-C and requests to end, which a command takes alike and tells apart by its exit code."""

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


@contextmanager
def requests_to_end() -> Iterator[list[int]]:
    """Raises KeyboardInterrupt when a signal asks the process to end; gives those that have come.

    So what ends jobs finds the best weights written and the rest cleared up, as Ctrl-C does.
    """
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    ours = [kind for kind, before in REPLACED.items() if signal.getsignal(kind) == before]
    for kind in ours:
        signal.signal(kind, end)
    try:
        yield came
    finally:
        for kind in ours:
            signal.signal(kind, REPLACED[kind])


def exit_code(came: list[int]) -> int:
    """Returns what a shell has for a command that the first of the signals ended."""
    return 128 + (came or [signal.SIGINT])[0]
