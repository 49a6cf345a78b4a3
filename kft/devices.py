"""The GPUs that the driver has, those that TensorFlow sees, and why they may be others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import takewhile
from pathlib import Path

from kft.progress import say, warn

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Of NVIDIA's driver. WSL2 has neither, but nvidia-smi.
DRIVER = Path("/proc/driver/nvidia/version")
FIRST_GPU = Path("/dev/nvidia0")
# CUDA 12 runs on this driver and later ones (NVIDIA's table of minor version compatibility).
OLDEST_DRIVER = 525
# One of the libraries that `tensorflow[and-cuda]` brings.
LIBRARY = "nvidia-cudnn-cu12"
SMI_SECONDS = 30


@dataclass(frozen=True)
class Gpu:
    """A GPU that TensorFlow sees.

    Attributes:
        capability: Its compute capability, major and minor; None where it has none.
    """

    name: str
    capability: tuple[int, int] | None

    def __str__(self) -> str:
        if self.capability is None:
            return self.name
        return f"{self.name} (compute capability {self.capability[0]}.{self.capability[1]})"


def gpus() -> tuple[Gpu, ...]:
    """The GPUs that TensorFlow sees, in its order."""
    import tensorflow as tf

    every = tf.config.get_visible_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in every]
    return tuple(
        Gpu(each.get("device_name", "GPU"), each.get("compute_capability")) for each in details
    )


def used_gpus() -> tuple[Gpu, ...]:
    """The GPUs that this process computes with in the strategy in scope."""
    import tensorflow as tf

    strategy, every = tf.distribute.get_strategy(), gpus()
    if not tf.distribute.has_strategy():
        return every[:1]
    names = [tf.DeviceSpec.from_string(name) for name in strategy.extended.worker_devices]
    numbers = [name.device_index for name in names if name.device_type == "GPU"]
    return tuple(every[number] for number in numbers if number < len(every))


def announce() -> None:
    """Says what is computed with, and warns where that is less than the machine has."""
    used, every = used_gpus(), gpus()
    left = len(every) - len(used)
    others = f"; not used: {left} more" if left else ""
    say(f"Device: {listed(used) if used else 'CPU'}{others}")
    missing = missing_gpu()
    if missing is not None:
        warn(missing)
    for gpu in sorted({*used}, key=str):
        if is_newer_than_build(gpu):
            warn(
                f"this TensorFlow has no code for {gpu}: it is compiled when first needed, which "
                "may take half an hour, or fails with CUDA_ERROR_INVALID_PTX. See docs/gpu.md"
            )


def listed(used: tuple[Gpu, ...]) -> str:
    """The GPUs in one line, equal ones counted."""
    counts = Counter(map(str, used))
    return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in counts.items())


def is_newer_than_build(gpu: Gpu) -> bool:
    """Says whether TensorFlow was built for GPUs before `gpu` only."""
    import tensorflow as tf

    built = tf.sysconfig.get_build_info().get("cuda_compute_capabilities", [])
    majors = [int(found[1]) for name in built if (found := re.search(r"_(\d+)\d", name))]
    return bool(gpu.capability and majors and gpu.capability[0] > max(majors))


def missing_gpu() -> str | None:
    """Why TensorFlow sees no GPU where a driver is, with what mends it; else None."""
    if gpus() or named_visible() == () or not has_driver():
        return None
    return (
        "NVIDIA's driver is here, but TensorFlow sees no GPU, and computes on the CPU: "
        f"{reason_and_command()}"
    )


def reason_and_command() -> str:
    """Why TensorFlow has not found a GPU, as far as can be known, and what mends it."""
    import tensorflow as tf

    version = driver_version()
    if sys.platform == "win32":
        return "it has no GPU on Windows. Use WSL2:  wsl --install"
    if not tf.sysconfig.get_build_info()["is_cuda_build"]:
        command = "pip install --force-reinstall 'tensorflow[and-cuda]'"
        return f"it was built without CUDA. Install another:  {command}"
    if version is not None and int(version.split(".")[0]) < OLDEST_DRIVER:
        return f"driver {version} is too old for CUDA 12. Install {OLDEST_DRIVER} or later"
    if not is_installed(LIBRARY):
        return "there are no CUDA libraries. Install them:  pip install 'tensorflow[and-cuda]'"
    if "LD_LIBRARY_PATH" in os.environ:
        return (
            "its CUDA libraries do not load, perhaps since LD_LIBRARY_PATH leads to others; "
            "`kft --verbose` shows its words. Try:  unset LD_LIBRARY_PATH"
        )
    return (
        "its CUDA libraries do not load; `kft --verbose` shows its words. Install them again:  "
        "pip install --force-reinstall 'tensorflow[and-cuda]'"
    )


def is_installed(distribution: str) -> bool:
    """Says whether pip has installed `distribution`."""
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def has_driver() -> bool:
    """Says whether this machine has a GPU and NVIDIA's driver."""
    return DRIVER.exists() or FIRST_GPU.exists() or bool(smi("--list-gpus").strip())


def driver_version() -> str | None:
    """The version of NVIDIA's driver, such as ``535.104.05``; None without one."""
    try:
        text = DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = smi("--query-gpu=driver_version", "--format=csv,noheader")
    found = re.search(r"(?:^|\s)(\d{3,}(?:\.\d+)+)", text)
    return found and found[1]


def smi(*arguments: str) -> str:
    """What ``nvidia-smi`` prints; empty where it is not there or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=SMI_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def named_visible() -> tuple[str, ...] | None:
    """The names in ``CUDA_VISIBLE_DEVICES``, as CUDA reads it; None if that is not set."""
    text = os.environ.get(VISIBLE)
    if text is None:
        return None
    # CUDA takes the names before the first that names no GPU, such as -1 or SLURM's NoDevFiles.
    named = re.compile(r"\d+|(?:GPU|MIG)-.+").fullmatch
    return tuple(takewhile(named, (name.strip() for name in text.split(","))))


def visible() -> tuple[str, ...]:
    """The GPUs that programs see here, by names for ``CUDA_VISIBLE_DEVICES``."""
    named = named_visible()
    return tuple(listed_by_driver()) if named is None else named


def listed_by_driver() -> Iterator[str]:
    """Yields the UUID of each GPU of the driver, or of the MIG instances it is divided into."""
    gpu: str | None = None
    for line in smi("--list-gpus").splitlines():
        found = re.search(r"\(UUID: ([^)]+)\)", line)
        if found is None:
            continue
        if line.startswith(" "):  # an instance of the GPU above
            gpu = None
            yield found[1]
            continue
        if gpu is not None:
            yield gpu
        gpu = found[1]
    if gpu is not None:
        yield gpu
