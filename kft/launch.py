"""Several workers on this machine, to try out what a cluster does."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import IO, Any

# How long the others may take to end by themselves once one has failed: to say so, and to write.
GRACE = 60.0
POLL = 0.1


def launch(arguments: Sequence[str], workers: int, show: Callable[[str], None]) -> int:
    """Starts ``kft`` with `arguments` as so many workers and waits for all.

    Every line they write is given to `show`, after the number of its worker. Interrupts and
    requests to end are passed on. Once one fails the others are to end, and are made to after
    `GRACE` seconds.

    Returns:
        The exit code of the first that failed, or 0.
    """
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "kft", *arguments],
            env={**os.environ, "TF_CONFIG": config, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # else an interrupt from the keyboard comes twice
        )
        for config in tf_configs(workers)
    ]
    readers = [
        Thread(target=relay, args=(process.stdout, f"[worker {number}] ", show), daemon=True)
        for number, process in enumerate(started)
    ]
    for reader in readers:
        reader.start()
    with passed_on(started):
        code = wait_for(started)
    for reader in readers:
        reader.join()
    return code


def run_arguments(
    config: str, overrides: Sequence[str], trust: Sequence[str], verbose: bool
) -> list[str]:
    """Returns the arguments of the ``kft run`` that each worker is."""
    return [
        *(["--verbose"] if verbose else []),
        "run",
        config,
        *(word for override in overrides for word in ("--set", override)),
        *(word for package in trust for word in ("--trust", package)),
        *("--set", "distribute.strategy=multi_worker"),
    ]


def tf_configs(workers: int) -> list[str]:
    """Returns the ``TF_CONFIG`` of each worker of a cluster on this machine."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(workers)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    cluster = {"worker": addresses}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(workers)
    ]


def relay(lines: IO[str], prefix: str, show: Callable[[str], None]) -> None:
    """Gives `lines` to `show` as they come, and closes them at their end."""
    with lines:
        for line in lines:
            show(prefix + line.rstrip("\n"))


@contextmanager
def passed_on(started: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
    """Passes interrupts and requests to end on to all that were `started`."""

    def pass_on(number: int, frame: Any) -> None:
        for process in started:
            process.send_signal(number)  # does nothing to one that has ended

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, pass_on) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def wait_for(started: Sequence[subprocess.Popen[str]]) -> int:
    """Waits until all have ended; returns the exit code of the first that failed, or 0.

    One that a signal ended counts as 128 and its number, as in a shell.
    """
    code, deadline = 0, math.inf
    while True:
        codes = [process.poll() for process in started]
        if not code and any(codes):
            code = next(filter(None, codes))
            deadline = time.monotonic() + GRACE
        if None not in codes:
            return code if code >= 0 else 128 - code
        if time.monotonic() > deadline:
            for process in started:
                process.kill()
        time.sleep(POLL)
