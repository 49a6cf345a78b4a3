"""The sections of `gpu_check.py`, each in a process of its own, which it starts.

python benchmarks/gpu_check_inside.py SECTION WORK SIZE ANSWER

Writes what was found out to the file ANSWER, again whenever there is more.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

HERE = Path(__file__).parent
# Of the whole batch, by the worst of TF32, half precision and another order of summation.
SAME_SCORES = 0.05
# More than any GPU holds, but not than its host.
LARGE = {"data.input.size": [512, 512], "phases.1.batch_size": 100_000}
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


class Answer(dict[str, Any]):
    """What a section has found out; writes itself whenever it grows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self), encoding="utf-8")
        partial.replace(self._path)


def config(work: Path, size: int, name: str, epochs: int = 1, **settings: Any) -> Path:
    """Writes the config of a run with a head phase and one that trains everything."""
    phases = [
        {"name": "head", "epochs": 1, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "none"}},
        {
            "name": "tune",
            "epochs": epochs,
            "optimizer": {"kind": "sgd", "learning_rate": 1e-3},
            "unfreeze": {"kind": "all"},
        },
    ]
    whole = {
        "output_dir": str(work / name),
        "data": {
            "kind": "folder",
            "path": str(work / "images"),
            "input": {"kind": "image", "size": [size, size]},
        },
        "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
        "phases": phases,
        "distribute": {"strategy": "none"},
        **settings,
    }
    path = work / f"{name}.config.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


def command(*arguments: str | Path, **settings: Any) -> list[str]:
    """A command of kft, with settings such as ``data.input.size``."""
    changed = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
    return [sys.executable, "-m", "kft", *map(str, arguments), *changed]


def kft(work: Path, words: Sequence[str]) -> tuple[int, str]:
    """The exit code and the words of a command of kft."""
    done = subprocess.run(
        words,
        env={**os.environ, "KFT_CACHE": str(work / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def run(work: Path, path: Path, **settings: Any) -> str:
    """The words of a run that must succeed."""
    code, said = kft(work, command("run", path, **settings))
    if code:
        raise SystemExit(said)
    return said


def epochs_of(work: Path, name: str) -> list[Json]:
    """The lines of ``metrics.jsonl`` so far."""
    metrics = work / name / "metrics.jsonl"
    if not metrics.exists():
        return []
    lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def environment(work: Path, size: int, answer: Answer) -> None:
    """Versions and devices."""
    import platform

    import keras
    import numpy
    import tensorflow as tf

    import kft as package
    from kft.devices import driver_version, gpus, missing_gpu, smi

    answer["versions"] = {
        "kft": package.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    answer["build"] = {key: str(value) for key, value in tf.sysconfig.get_build_info().items()}
    answer["cores"] = os.cpu_count()
    answer["gpus"] = [str(gpu) for gpu in gpus()]
    answer["driver"] = driver_version()
    answer["missing"] = missing_gpu()
    answer["tf32"] = tf.config.experimental.tensor_float_32_execution_enabled()
    columns = "name,memory.total,memory.used,pcie.link.gen.max,compute_mode"
    answer["nvidia_smi"] = smi(f"--query-gpu={columns}", "--format=csv")


def has_gpu() -> bool:
    """Says whether TensorFlow sees a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def quickstart(work: Path, size: int, answer: Answer) -> None:
    """A run with an export, while this process is on the GPU, too."""
    import tensorflow as tf

    answer["gpu"] = has_gpu()
    tf.ones((64, 64)) @ tf.ones((64, 64))
    said = run(work, config(work, size, "quickstart"))
    answer["device"] = next((line for line in said.splitlines() if "Device:" in line), "")
    answer["exports"] = [line.strip() for line in said.splitlines() if "answers" in line]
    answer["verified"] = (work / "quickstart" / "export").is_dir()
    answer["accuracy"] = accuracy(work, "quickstart")


def accuracy(work: Path, name: str) -> float:
    """The validation accuracy of a run."""
    scores = json.loads((work / name / "scores.json").read_text(encoding="utf-8"))
    return float(scores["validation"]["accuracy"])


def differences(work: Path, size: int, answer: Answer) -> None:
    """How far the features of each device and precision are from those of the CPU in float32."""
    import numpy as np
    import tensorflow as tf

    answer["gpu"] = has_gpu()
    pictures = np.random.default_rng(0).integers(0, 256, (16, size, size, 3)).astype("uint8")
    devices = ["CPU:0", *(["GPU:0"] if answer["gpu"] else [])]
    exact, found = None, {}
    for precision in PRECISIONS:
        for device in devices:
            for switch in ("off", "on") if device == "GPU:0" else ("off",):
                tf.config.experimental.enable_tensor_float_32_execution(switch == "on")
                features = features_of(precision, device, pictures)
                exact = features if exact is None else exact
                name = f"{device[:3]} {precision} TF32 {switch}"
                found[name] = float(np.abs(features - exact).max())
                answer["differences"] = found


def features_of(precision: Any, device: str, pictures: Any) -> Any:
    """The features of pictures, float32 ``(batch, d)``."""
    import tensorflow as tf

    from kft.image.applications import KerasApplication
    from kft.layers.precision import computing_in

    with tf.device(device), computing_in(precision):
        source = KerasApplication(name="MobileNetV2", weights="bundled")
        spec = tf.TensorSpec(pictures.shape[1:], pictures.dtype)
        model = source.load(spec).model
        # A new function, since one that was traced keeps the TF32 of then.
        forward = tf.function(lambda batch: model(batch, training=False))
        return tf.cast(forward(tf.constant(pictures)), "float32").numpy()


def placement(work: Path, size: int, answer: Answer) -> None:
    """Where rows are held, and which ops of a step are on the CPU."""
    import numpy as np
    import tensorflow as tf

    import kft as package  # noqa: F401  It sets how memory grows.
    from kft.host_memory import from_memory

    answer["gpu"] = has_gpu()
    gpus = tf.config.list_physical_devices("GPU")
    before = gpu_megabytes()
    fetch = from_memory(np.zeros((64, 1 << 20), "float32"))
    answer["rows"] = fetch(tf.constant(0, tf.int64)).device
    answer["gpu_megabytes_for_rows"] = gpu_megabytes() - before
    answer["growth_variable"] = os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH")
    answer["memory_growth"] = answer["growth_variable"] == "true" or any(
        tf.config.experimental.get_memory_growth(gpu) for gpu in gpus
    )
    answer["compute_on_cpu"] = sorted(set(compute_on_cpu(size))) if gpus else []


def gpu_megabytes() -> float:
    """What TensorFlow has in use on the first GPU; 0 without one."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return 0.0
    return float(tf.config.experimental.get_memory_info("GPU:0")["current"]) / 1e6


def compute_on_cpu(size: int) -> Iterator[str]:
    """Yields the matrix and convolution ops of a step that were put on the CPU."""
    import keras
    import tensorflow as tf
    from tensorflow.python.eager import context

    model = keras.applications.MobileNetV2(weights=None, input_shape=(size, size, 3), classes=10)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    step = tf.function(model.train_step)
    batch = (tf.zeros((8, size, size, 3)), tf.zeros((8,), "int32"))
    context.context().enable_run_metadata()
    try:
        step(batch)
        graphs = context.context().export_run_metadata().partition_graphs
    finally:
        context.context().disable_run_metadata()
    for graph in graphs:
        for node in graph.node:
            if "CPU" in node.device and node.op.startswith(("Conv2D", "MatMul", "FusedBatchNorm")):
                yield f"{node.op} {node.name}"


def resume(work: Path, size: int, answer: Answer) -> None:
    """A run that is killed in its second phase and goes on, against one that is not."""
    answer["gpu"] = has_gpu()
    whole = config(work, size, "whole", epochs=3, exporters=[])
    run(work, whole)
    killed = config(work, size, "killed", epochs=3, exporters=[])
    child = subprocess.Popen(
        command("run", killed), env={**os.environ, "KFT_CACHE": str(work / "cache")}
    )
    try:
        while child.poll() is None and len(epochs_of(work, "killed")) < 2:
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    answer["killed_after"] = len(epochs_of(work, "killed"))
    code, said = kft(work, command("run", killed, "--resume"))
    answer["exit_code"] = code
    answer["said"] = "" if code == 0 else said[-1000:]
    losses = [[line["val_loss"] for line in epochs_of(work, name)] for name in ("whole", "killed")]
    answer["losses"] = losses
    answer["difference"] = max(abs(a - b) for a, b in zip(*losses, strict=True))
    # Kernels of a GPU add up in an order of their own unless they are told not to.
    answer["tolerance"] = SAME_SCORES if answer["gpu"] else 1e-6


def speed(work: Path, size: int, answer: Answer) -> None:
    """Pictures a second in fine-tuning, and the share of the time that they are waited for."""
    cases: dict[str, Json] = {
        "float32": {},
        "float32 jit": {"jit": True},
        "mixed_float16": {"precision": "mixed_float16"},
        "mixed_bfloat16": {"precision": "mixed_bfloat16"},
        "augmented": {"data.input.augment": [{"kind": "mild"}]},
        # Not folded, as is plain Keras.
        "batch statistics": {"backbone.batch_norm": "train"},
        "mixed_float16 jit": {"jit": True, "precision": "mixed_float16"},
    }
    started = time.monotonic()
    for number, (name, settings) in enumerate(cases.items()):
        answer[name] = speed_of(work, size, f"speed-{number}", settings)
        if number == 0:
            answer["process_seconds"] = round(time.monotonic() - started, 1)
            answer["estimate"] = estimate(work, size, f"speed-{number}")
            answer["plain Keras"] = {"images_per_second": plain_speed(work, size)}


def speed_of(work: Path, size: int, name: str, settings: Json) -> Json:
    """The last epoch of fine-tuning, in which nothing is traced; or why there is none."""
    path = config(work, size, name, epochs=3, exporters=[], refit=False)
    code, said = kft(work, command("run", path, **settings))
    if code:
        return {"failed": said[-1000:]}
    last = epochs_of(work, name)[-1]
    return {
        "images_per_second": last["examples_per_second"],
        "input_wait": round(last.get("input_wait", 0) / last["seconds"], 4),
        "seconds": last["seconds"],
        "loss": last["val_loss"],
    }


def plain_speed(work: Path, size: int) -> float:
    """Pictures a second of `plain_keras.py`: the longer of two runs less the shorter."""
    seconds = []
    short, long = 1, 9
    for epochs in (short, long):
        plain = [sys.executable, str(HERE / "plain_keras.py"), str(work / "images")]
        options = ["--unfreeze", "all", "--epochs", str(epochs), "--size", str(size)]
        started = time.perf_counter()
        subprocess.run([*plain, *options], check=True)
        seconds.append(time.perf_counter() - started)
    images = sum(1 for _ in (work / "images" / "train").rglob("*.jpg"))
    return round((long - short) * images / (seconds[1] - seconds[0]), 1)


def estimate(work: Path, size: int, name: str) -> Json:
    """What ``kft check`` says that the phase of run `name` takes, and what it took, in seconds."""
    report = work / "check.json"
    path = config(work, size, "checked", epochs=3, exporters=[])
    kft(work, [*command("check", path), "--json", str(report)])
    found = json.loads(report.read_text(encoding="utf-8"))["phases"][-1]
    scores = json.loads((work / name / "scores.json").read_text(encoding="utf-8"))
    taken = scores["phases"][-1]["seconds"] - found["tracing"]
    return {"said": found, "estimated": found["seconds"], "taken": round(taken, 2)}


def loops(work: Path, size: int, answer: Answer) -> None:
    """A step of the head on features against one in a compiled loop by hand."""
    for width in ("16", "1280"):
        done = subprocess.run(
            [sys.executable, str(HERE / "engine_loop.py"), width],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        answer[width] = {**found, "ratio": round(found["kft"] / found["by_hand"], 3)}


def memory(work: Path, size: int, answer: Answer) -> None:
    """A run whose second phase takes all examples at once, and goes on with few."""
    path = config(work, size, "full", exporters=[])
    code, said = kft(work, command("run", path, **LARGE))
    answer["exit_code"] = code
    answer["message"] = said.strip()[-1000:]
    answer["told"] = code == 1 and "Traceback" not in said
    answer["weights"] = (work / "full" / "checkpoints" / "best.weights.h5").exists()
    smaller = {"phases.1.batch_size": 8}
    again = work / "full" / "config.json"
    code, said = kft(work, command("run", again, "--resume", **smaller))
    answer["resumed"] = code
    answer["resumed_said"] = said.strip()[-1000:]


def several(work: Path, size: int, answer: Answer) -> None:
    """Several GPUs: whether they add up, one against all, and a process for each."""
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy()
    answer["gpus"] = strategy.num_replicas_in_sync
    answer["all_reduce"] = all_reduce(strategy)
    for name, distribute in (("one", {"strategy": "none"}), ("all", {"strategy": "mirrored"})):
        answer[name] = speed_of(work, size, f"several-{name}", {"distribute": distribute})
    answer["speedup"] = round(
        answer["all"]["images_per_second"] / answer["one"]["images_per_second"], 2
    )
    path = config(work, size, "launched", exporters=[], distribute={})
    workers = str(answer["gpus"])
    code, said = kft(work, command("launch", "--workers", workers, path))
    answer["launch"] = {"exit_code": code, "said": said.strip()[-1000:]}


def all_reduce(strategy: Any) -> Json:
    """A sum of 100 MB over all GPUs, in seconds, and whether it is right."""
    import tensorflow as tf

    @tf.function
    def reduced() -> Any:
        def total() -> Any:
            here = tf.distribute.get_replica_context()
            return here.all_reduce("sum", tf.ones((25_000_000,)))[0]

        return strategy.run(total)

    reduced()
    started = time.perf_counter()
    first = float(strategy.experimental_local_results(reduced())[0])
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 4), "right": first == strategy.num_replicas_in_sync}


SECTIONS: dict[str, Callable[[Path, int, Answer], None]] = {
    "environment": environment,
    "quickstart": quickstart,
    "differences": differences,
    "placement": placement,
    "resume": resume,
    "speed": speed,
    "loops": loops,
    "memory": memory,
    "several": several,
}

if __name__ == "__main__":
    _, chosen, folder, pixels, written = sys.argv
    # As kft does, or this process would take what the runs that it starts need.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    SECTIONS[chosen](Path(folder), int(pixels), Answer(Path(written)))
