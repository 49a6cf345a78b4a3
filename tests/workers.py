"""Workers in processes of their own, which find one another over the loopback."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(arguments, count=2, **environment):
    """Starts workers that run Python with `arguments`; their output goes to pipes, as text."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(count)]}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    common = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={
                **common,
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": number}}
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(count)
    ]
