"""The workers that ``TF_CONFIG`` describes, as far as TensorFlow does not look itself."""

from __future__ import annotations

import json
from typing import Any


def described_by(text: str) -> tuple[dict[str, int], Any, Any]:
    """The number of tasks of each job in a ``TF_CONFIG``, and the job and task of this process.

    Raises:
        ValueError: It is not JSON, or describes no cluster; so do AttributeError and TypeError.
    """
    config = json.loads(text or "{}")
    cluster, task = config.get("cluster", {}), config.get("task", {})
    for job, tasks in cluster.items():
        if not isinstance(tasks, list) or not all(isinstance(each, str) for each in tasks):
            raise ValueError(f"job {job!r} has no list of addresses, but {json.dumps(tasks)}")
    addresses = [address for tasks in cluster.values() for address in tasks]
    if len({*addresses}) < len(addresses):
        raise ValueError(f"two tasks have one address, of {', '.join(addresses)}")
    if len(cluster.get("chief", [])) > 1:
        raise ValueError("there is more than one chief")
    index = task.get("index")
    if isinstance(index, str) and index.isdecimal():  # as TensorFlow takes it too
        index = int(index)
    return {job: len(tasks) for job, tasks in cluster.items()}, task.get("type"), index
