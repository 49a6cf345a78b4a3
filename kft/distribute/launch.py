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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from threading import Thread
from typing import IO, Any

from kft.devices import VISIBLE, has_driver, named_visible, visible
from kft.errors import ConfigError

# How long the others may take to end by themselves once one has failed: to say so, and to write.
GRACE = 60.0
POLL = 0.1


def launch(arguments: Sequence[str], workers: int, show: Callable[[str], None]) -> int:
    """Starts ``kft`` with `arguments` as so many workers and waits for all.

    Every line they write is given to `show`, after the number of its worker. Interrupts and
    requests to end are passed on; the second one kills. Once one fails the others are to end, and
    are made to after `GRACE` seconds.

    Returns:
        The exit code of the first that failed, or 0; where a signal ended them, 128 and its number.

    Raises:
        ConfigError: As `gpu_shares`.
    """
    started: list[subprocess.Popen[str]] = []
    shares = gpu_shares(workers, show)
    # What a worker that was killed has left goes with it.
    with passed_on(started) as came, TemporaryDirectory(prefix="kft-launch-") as private:
        for config, gpus in zip(tf_configs(workers), shares, strict=True):
            own = {"TF_CONFIG": config, "TMPDIR": private, VISIBLE: ",".join(gpus) or "-1"}
            started.append(start(arguments, own))
        readers = [
            Thread(target=relay, args=(process.stdout, prefix(number), show), daemon=True)
            for number, process in enumerate(started)
        ]
        for reader in readers:
            reader.start()
        code = wait_for(started, show)
        for reader in readers:
            reader.join()
    # A worker may have missed another before the signal reached itself.
    return 128 + came[0] if code and came else code


def gpu_shares(workers: int, show: Callable[[str], None]) -> list[tuple[str, ...]]:
    """Divides the visible GPUs among `workers`, equally many each; none, where there are none.

    Raises:
        ConfigError: There are fewer than workers, or it cannot be known which there are.
    """
    names = visible()
    if not names and named_visible() is None and has_driver():
        raise ConfigError(
            where=f"--workers {workers}",
            problem="NVIDIA's driver is here, but nvidia-smi does not list its GPUs",
            fix=f"Name them in {VISIBLE}, or set it to -1 to use the CPU",
        )
    if names and len(names) < workers:
        raise ConfigError(
            where=f"--workers {workers}",
            problem=f"cannot share out {len(names)} GPU(s): two workers cannot train on one",
            fix=f"Start no more workers than GPUs, or set {VISIBLE}=-1 to use the CPU",
        )
    each = len(names) // workers
    if len(names) > each * workers:
        show(f"each worker has {each} GPU(s); not used: {', '.join(names[each * workers :])}")
    return [names[number * each : (number + 1) * each] for number in range(workers)]


def start(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Starts one ``kft`` whose output goes to a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "kft", *arguments],
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        start_new_session=True,  # else an interrupt from the keyboard comes twice
    )


def prefix(worker: int) -> str:
    """The prefix of the lines that a worker prints."""
    return f"[worker {worker}] "


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
def passed_on(started: Sequence[subprocess.Popen[str]]) -> Iterator[list[int]]:
    """Passes interrupts and requests to end on to all that were `started`; the second one kills.

    Gives those that have come.
    """
    came: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        for process in started:
            process.kill() if came else process.send_signal(number)  # nothing, if it has ended
        came.append(number)

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, pass_on) for kind in kinds]
    try:
        yield came
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def wait_for(started: Sequence[subprocess.Popen[str]], show: Callable[[str], None]) -> int:
    """Waits until all have ended; returns the exit code of the first that failed, or 0."""
    running = dict(enumerate(started))
    code, deadline = 0, math.inf
    while running:
        time.sleep(POLL)
        failed = next(filter(None, just_ended(running, show)), 0)
        if failed and not code:
            code, deadline = failed, time.monotonic() + GRACE
        if time.monotonic() > deadline:
            for process in running.values():
                process.kill()
    return code


def just_ended(running: dict[int, subprocess.Popen[str]], show: Callable[[str], None]) -> list[int]:
    """Takes those that have ended out of `running`; returns their exit codes.

    One that a signal ended counts as 128 and its number, as in a shell, and is reported to `show`.
    """
    ended = [number for number, process in running.items() if process.poll() is not None]
    codes = [running.pop(number).returncode for number in ended]
    for number, code in zip(ended, codes, strict=True):
        if code < 0:
            show(f"{prefix(number)}ended by {signal.Signals(-code).name}")
    return [code if code >= 0 else 128 - code for code in codes]
