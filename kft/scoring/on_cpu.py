"""Answers of the CPU, to compare an export with, which is called where there is no GPU."""

from __future__ import annotations

from dataclasses import replace

from kft.progress import say, warn
from kft.rounding import between_devices
from kft.scoring.difference import difference_of
from kft.scoring.evaluate import Answers
from kft.task import Task

CPU = "CPU:0"


def on_cpu(task: Task, answers: Answers, count: int) -> tuple[Answers, float | None]:
    """The first `count` of the `answers` of `task`, as the CPU gives them.

    With them comes the largest difference from those of the GPU, which is also told. Where the CPU
    gave all of the answers, they are returned as they are, with None.
    """
    if computes_on_cpu(task):
        return answers, None
    first = computed_on_cpu(task, answers, count)
    difference = difference_of(answers.outputs[: first.split.size], first.outputs, task.target)
    what = f"the GPU's answers and those of the CPU differ by up to {difference:.1e}"
    allowed = between_devices(task.model)
    if difference <= allowed:
        say(f"note: {what}")
    else:
        warn(
            f"{what}, more than the {allowed:.0e} that rounding explains: `kft evaluate` the run "
            "where it will be served, before it is"
        )
    return first, difference


def computes_on_cpu(task: Task) -> bool:
    """Whether the variables of `task` are on the CPU, and so is all that computes with them."""
    return all(variable.value.device.endswith(CPU) for variable in task.model.variables)


def computed_on_cpu(task: Task, answers: Answers, count: int) -> Answers:
    """The `answers` to the first `count` examples, computed again; scores are those of all."""
    import tensorflow as tf

    split = answers.split.take(range(min(count, answers.split.size)))
    model = task.model
    with tf.device(CPU):
        examples = [task.input.decode(split.fetch(tf.constant(at))) for at in range(split.size)]
        # Copies in place of the variables: a function that XLA compiles for the CPU, as that of a
        # grouped convolution (Keras 3.15), cannot read a variable of another device.
        trained, others = (
            [tf.identity(variable.value) for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        )
        outputs, _ = model.stateless_call(trained, others, tf.stack(examples), training=False)
    return replace(
        answers, split=split, outputs=outputs.numpy(), losses=answers.losses[: split.size]
    )
