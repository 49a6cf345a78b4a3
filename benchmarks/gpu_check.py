"""Does kft do on a GPU what it was written to do there? Run it, and send the file that it writes.

    python benchmarks/gpu_check.py [--json gpu_check.json] [--only SECTION …]

Five to ten minutes on one GPU; it downloads nothing, and needs a kft that is installed with its
extra ``gpu``. Each section is a process of its own with a time limit, so that one that hangs, or is
killed, is a result too. The file is written anew after each. It holds what the sections measured, a
verdict on each thing that kft promises of GPUs, and versions and device; no path or name of yours.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import make_images

from kft.devices import visible

INSIDE = Path(__file__).with_name("gpu_check_inside.py")
# How much of what a section printed is kept, in characters.
SAID = 3000
NOT_TESTED = "not tested"
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
DESCRIPTION = "Does kft do on a GPU what it was written to do there? Run it, and send its file."
# After a signal.
SECONDS_TO_END = 3.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """One process.

    Attributes:
        seconds: After so many it is ended.
        gpus: How many it needs at least.
    """

    seconds: int
    gpus: int = 0


SECTIONS = {
    "environment": Section(60),
    "quickstart": Section(150),
    "differences": Section(120),
    "placement": Section(60),
    "resume": Section(120),
    "speed": Section(420, gpus=1),
    "loops": Section(90, gpus=1),
    "memory": Section(180, gpus=1),
    "several": Section(180, gpus=2),
}


def main() -> None:
    """Runs the sections; always ends with 0, since a failure is a result."""
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--patience", type=float, default=1.0, help="a factor of the time limits")
    chosen = parser.parse_args()
    found: Json = {"sections": {}, "verdicts": {}}
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        make_images(work / "images", chosen.images, chosen.size)
        # The first says how many GPUs the others may use.
        for name in ["environment", *(name for name in chosen.only if name != "environment")]:
            seconds = chosen.patience * SECTIONS[name].seconds
            print(f"{name} (at most {seconds:.0f} s)", flush=True)
            found["sections"][name] = section(name, work, chosen.size, seconds, gpus_in(found))
            found["verdicts"] = verdicts(found["sections"])
            write(chosen.json, found)
    for name, verdict in found["verdicts"].items():
        print(f"{verdict['verdict']:>11}  {name}: {verdict['because']}")
    print(f"All of it is in {chosen.json}; please send it: it tells what no machine of ours can.")


def gpus_in(found: Json) -> int:
    """How many GPUs TensorFlow sees, or the driver where that was not found out."""
    result = found["sections"].get("environment", {}).get("result") or {}
    return len(result["gpus"] if "gpus" in result else visible())


def write(path: Path, found: Json) -> None:
    """Writes all that is known, never half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(found, indent=1), encoding="utf-8")
    partial.replace(path)


def section(name: str, work: Path, size: int, seconds: float, gpus: int) -> Json:
    """What came of a section that has so many seconds, and may use so many GPUs."""
    if gpus < SECTIONS[name].gpus:
        return {"outcome": NOT_TESTED, "said": f"needs {SECTIONS[name].gpus} GPUs, of {gpus}"}
    answer = work / f"{name}.json"
    started = time.monotonic()
    command = [sys.executable, str(INSIDE), name, str(work), str(size), str(answer)]
    code, said = ended(command, seconds)
    outcome = "time limit" if code is None else "done" if code == 0 else "failed"
    return {
        "outcome": outcome,
        "exit_code": code,
        "seconds": round(time.monotonic() - started, 1),
        # What it had found out before it failed.
        "result": json.loads(answer.read_text()) if answer.exists() else None,
        "said": "" if outcome == "done" else said.replace(str(work), "WORK")[-SAID:],
    }


def ended(command: Sequence[str], seconds: float) -> tuple[int | None, str]:
    """The exit code of a process, None if it was killed after so many seconds, and its words."""
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # Its own children too, such as a run.
            end_group(child)
        said.seek(0)
        return code, said.read().decode(errors="replace")


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Ends what is left of a process and its children.

    First by SIGTERM, twice: `kft launch` passes it on to workers that are in groups of their own,
    and kills them at the second.
    """
    for kind in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, kind)
        wait_for_group(child)
    child.wait()


def wait_for_group(child: subprocess.Popen[bytes]) -> None:
    """Waits until a process and its children have ended, but for `SECONDS_TO_END` at most."""
    over = time.monotonic() + SECONDS_TO_END
    while time.monotonic() < over:
        child.poll()
        try:
            os.killpg(child.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


@dataclass(frozen=True)
class Promise:
    """One thing that kft promises of GPUs.

    Attributes:
        section: Whose result says whether it is kept.
        kept: Whether it is, by that result; a fault in the result raises KeyError.
        because: What to say of the result.
    """

    section: str
    kept: Callable[[Json], bool]
    because: Callable[[Json], Any]


def at(*keys: str) -> Callable[[Json], Any]:
    """A function that looks up `keys`, one in what the other gave."""

    def look(found: Any) -> Any:
        for key in keys:
            found = found[key]
        return found

    return look


def tf32_differences(found: Json) -> list[float]:
    """The differences of float32 features on a GPU from the CPU's, TF32 off and on."""
    return [found["differences"][f"GPU float32 TF32 {switch}"] for switch in ("off", "on")]


PROMISES: Mapping[str, Promise] = {
    "exports are verified on the CPU beside a busy GPU": Promise(
        "quickstart", lambda found: found["verified"], at("exports")
    ),
    "TF32 differs by less than the tolerance": Promise(
        "differences",
        lambda found: tf32_differences(found)[0] < 1e-4 and tf32_differences(found)[1] < 2e-2,
        tf32_differences,
    ),
    "pictures and features stay on the host": Promise(
        "placement",
        lambda found: "CPU" in found["rows"] and found["gpu_megabytes_for_rows"] < 1,
        at("rows"),
    ),
    "convolutions and products of a plain Keras model run on the GPU": Promise(
        "placement", lambda found: not found["compute_on_cpu"], at("compute_on_cpu")
    ),
    "a run says its device": Promise(
        "quickstart", lambda found: found["device"].startswith("Device:"), at("device")
    ),
    "a GPU is shared, its memory grows": Promise(
        "placement", lambda found: found["memory_growth"], at("memory_growth")
    ),
    "a killed run ends as one that was not": Promise(
        "resume", lambda found: found["difference"] < found["tolerance"], at("difference")
    ),
    "a full GPU is one message, and the weights survive": Promise(
        "memory", lambda found: found["told"] and found["weights"], at("message")
    ),
    "a run without memory goes on with smaller batches": Promise(
        "memory", lambda found: found["resumed"] == 0, at("resumed")
    ),
    # On two busy CPU cores the ratios are 1.5 and 2.05.
    "the head phase is near one compiled loop (aims: 1.15 on 1280 features, 2 on 16)": Promise(
        "loops",
        lambda found: found["1280"]["ratio"] <= 1.15 and found["16"]["ratio"] <= 2,
        lambda found: {width: found[width]["ratio"] for width in ("1280", "16")},
    ),
    "compiling by XLA pays": Promise(
        "speed",
        lambda found: (
            found["float32 jit"]["images_per_second"] > found["float32"]["images_per_second"]
        ),
        lambda found: [found[name]["images_per_second"] for name in ("float32", "float32 jit")],
    ),
    "half precision pays": Promise(
        "speed",
        lambda found: (
            max(found[name]["images_per_second"] for name in PRECISIONS[1:])
            > found["float32"]["images_per_second"]
        ),
        lambda found: {name: found[name]["images_per_second"] for name in PRECISIONS},
    ),
    "kft is no slower than plain Keras": Promise(
        "speed",
        lambda found: (
            found["float32"]["images_per_second"]
            >= 0.95 * found["plain Keras"]["images_per_second"]
        ),
        lambda found: [found[name]["images_per_second"] for name in ("float32", "plain Keras")],
    ),
    "the wait for input is measured": Promise(
        "speed",
        # Without augmentation, pictures come from memory.
        lambda found: found["augmented"]["input_wait"] >= found["float32"]["input_wait"],
        lambda found: [found[name]["input_wait"] for name in ("augmented", "float32")],
    ),
    "check estimates the time of a phase": Promise(
        "speed",
        lambda found: 0.5 < found["estimate"]["estimated"] / found["estimate"]["taken"] < 2,
        at("estimate"),
    ),
    "GPUs are shared out to the workers of launch": Promise(
        "several", lambda found: found["launch"]["exit_code"] == 0, at("launch")
    ),
    "several GPUs are faster than one": Promise(
        "several", lambda found: found["speedup"] > 1.5, at("speedup")
    ),
    "NCCL adds up gradients": Promise(
        "several", lambda found: found["all_reduce"]["right"], at("all_reduce")
    ),
}
# What is promised of a GPU in sections that run without one, too.
WITHOUT_GPU = ("a killed run ends as one that was not", "a run says its device")


def verdicts(sections: Mapping[str, Json]) -> Json:
    """A verdict on each promise, as far as its section has run."""
    return {
        name: verdict(name, promise, sections[promise.section])
        for name, promise in PROMISES.items()
        if promise.section in sections
    }


def verdict(name: str, promise: Promise, ran: Json) -> Json:
    """Whether one promise is kept, and by what."""
    found = ran.get("result") or {}
    if ran["outcome"] == NOT_TESTED:
        return {"verdict": NOT_TESTED, "because": ran["said"]}
    if found and not found.get("gpu", True) and name not in WITHOUT_GPU:
        return {"verdict": NOT_TESTED, "because": "no GPU"}
    try:
        kept, because = promise.kept(found), promise.because(found)
    except (KeyError, TypeError, ValueError):
        if ran["outcome"] == "time limit":
            return {"verdict": "not measured", "because": f"{promise.section}: time limit"}
        return {"verdict": "broken", "because": f"{promise.section}: {ran['outcome']}"}
    return {"verdict": "kept" if kept else "broken", "because": because}


if __name__ == "__main__":
    main()
