"""How training scales with workers: measured on this machine, and worked out for larger ones.

python benchmarks/scaling.py           examples per second of 1 and 2 workers, a core for each
python benchmarks/scaling.py limits    the tables of docs/distribute/scaling.md
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

from kft.distribute.launch import tf_configs

ROUNDS = 20
# Millions of parameters without the top, GFLOPs of one forward pass at 224 px: twice the
# multiplications and additions that the papers of the models give.
BACKBONES = {
    "MobileNetV2": (2.3, 0.6),
    "ResNet50": (23.5, 8.2),
    "ConvNeXtTiny": (27.8, 9.0),
    "ViT-B/16": (85.8, 35.2),
    "VGG16": (14.7, 31.0),
}
FLOPS = 100e12  # of a GPU, as reached: about a third of the peak of an A100 in bfloat16
INSIDE = 200e9  # bytes a second of a GPU's link to the others of its machine, as reached
OUTSIDE = 10e9  # of a machine's link to the others, as reached: a network of 100 Gb/s
HOP = 10e-6  # seconds from one GPU to the next
PER_MACHINE = 8


def work(epochs: int) -> None:
    """Is one worker: fine-tunes all of the bundled MobileNetV2, then adds up as many numbers."""
    os.sched_setaffinity(0, {int(os.environ["CORE"])})
    import tensorflow as tf

    import kft

    strategy = "multi_worker" if "TF_CONFIG" in os.environ else "none"
    phase = {
        "name": "finetune",
        "epochs": epochs,
        "optimizer": {"kind": "sgd", "learning_rate": 1e-3},
        "unfreeze": {"kind": "all"},
    }
    config = kft.load_config(
        {
            "output_dir": f"{tempfile.mkdtemp()}/run",
            "data": {"kind": "digits", "split": {"validation": 0.75, "test": 0.05}},
            "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
            "phases": [phase],
            "exporters": [],
            "cache": "off",
            "distribute": {"strategy": strategy},
        }
    )
    result = kft.run(config)
    trained = config.distribute.build()
    count = result.phases[0].trained_parameters

    @tf.function
    def add_up() -> None:
        trained.run(lambda: tf.distribute.get_replica_context().all_reduce("sum", tf.ones(count)))

    add_up()
    started = time.perf_counter()
    for _ in range(ROUNDS):
        add_up()
    sum_seconds = (time.perf_counter() - started) / ROUNDS
    last = result.phases[0].epochs[-1]
    steps = -(-round(last["examples_per_second"] * last["seconds"]) // config.data.batch_size)
    if result.chief:
        measured = {
            "examples_per_second": last["examples_per_second"],
            "parameters": count,
            "step_seconds": round(last["seconds"] / steps, 4),
            "all_reduce_seconds": round(sum_seconds, 4),
            "all_reduce_share": round(sum_seconds * steps / last["seconds"], 3),
        }
        print("measured", json.dumps(measured))


def measure(workers: int) -> dict[str, float]:
    """Returns what the chief of so many workers measured."""
    configs = tf_configs(workers) if workers > 1 else [None]
    processes = []
    for core, config in enumerate(configs):
        environment = {**os.environ, "CORE": str(core), "TF_CPP_MIN_LOG_LEVEL": "3"}
        if config is not None:
            environment["TF_CONFIG"] = config
        command = [sys.executable, __file__, "work", "3"]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    told = [process.communicate()[0] for process in processes]
    lines = [line for text in told for line in text.splitlines() if line.startswith("measured ")]
    return dict(json.loads(lines[0].removeprefix("measured ")))


def limits() -> None:
    """Prints what share of a step the sum of the gradients takes, and the batch that halves it."""
    print("| backbone | gradients | 8 GPUs | 64 | 512 |\n| --- | --- | --- | --- | --- |")
    for name, (parameters, gflops) in BACKBONES.items():
        cells = []
        for gpus in (8, 64, 512):
            sum_seconds = ring(parameters * 4e6, gpus)
            step = 3 * gflops * 1e9 * 32 / FLOPS
            even = sum_seconds * FLOPS / (3 * gflops * 1e9)
            share = sum_seconds / (sum_seconds + step)
            cells.append(f"{1000 * sum_seconds:.1f} ms, {share:.0%}, {even:.0f}")
        print(f"| {name} | {parameters * 4:.0f} MB | {' | '.join(cells)} |")


def ring(size: float, gpus: int) -> float:
    """Returns the seconds in which a ring of `gpus` adds up `size` bytes of each."""
    link = INSIDE if gpus <= PER_MACHINE else OUTSIDE
    return 2 * (gpus - 1) / gpus * size / link + 2 * (gpus - 1) * HOP


def main() -> None:
    """Does what the command line says."""
    if sys.argv[1:2] == ["work"]:
        work(int(sys.argv[2]))
    elif sys.argv[1:2] == ["limits"]:
        limits()
    else:
        found = {workers: measure(workers) for workers in (1, 2)}
        for workers, measured in found.items():
            print(workers, json.dumps(measured))
        one, two = (found[number]["examples_per_second"] for number in (1, 2))
        print(f"2 workers do {two / one:.2f} times the examples of one in the same time")


if __name__ == "__main__":
    main()
