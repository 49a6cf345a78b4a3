"""Decides whether XLA compiles the steps of training: the ``jit`` of a run config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from kft.devices import used_gpus
from kft.distribute.cluster import replicas
from kft.engine.random_state import ops_are_deterministic
from kft.errors import ConfigError
from kft.messages import one_line
from kft.progress import say

if TYPE_CHECKING:
    import keras

Jit = Literal["auto"] | bool

# To compile the step of a large model takes about as long as this many of its steps, or longer.
FEWEST_STEPS = 1000


def is_compiled(jit: Jit, model: keras.Model, batches: Any, size: int, steps: int) -> bool:
    """Says whether XLA is to compile the steps of a compiled `model`.

    ``auto``: on one GPU alone, where many small kernels take longer to launch than to run; in a
    phase of at least `FEWEST_STEPS`; and where XLA has all ops of the step. On a CPU, what it makes
    of convolutions takes several times as long as TensorFlow's own kernels.

    Args:
        jit: As in the config.
        model: One that would train.
        batches: What a step takes.
        size: Examples in a batch.
        steps: Of the whole phase, so that a run that is resumed decides the same.

    Raises:
        ConfigError: `jit` is true, and XLA cannot compile the step.
    """
    if jit is False or (jit == "auto" and not pays(steps)):
        return False
    reason = why_not(model, batches, size)
    if reason is not None and jit is True:
        raise ConfigError(
            where="jit",
            problem=f"is true, and XLA cannot compile the step: {reason}",
            fix="Set it to 'auto' or false",
        )
    if reason is not None:
        say(f"note: XLA cannot compile the steps, so they run kernel by kernel: {reason}")
    return reason is None


def pays(steps: int) -> bool:
    """Says whether so many steps may be faster if they are compiled first."""
    alone = replicas() == 1 and len(used_gpus()) == 1
    # What XLA makes for a GPU need not be deterministic; Keras 3.15 leaves it off then, too.
    return alone and steps >= FEWEST_STEPS and not ops_are_deterministic()


def why_not(model: keras.Model, batches: Any, size: int) -> str | None:
    """Why XLA cannot compile the step of `model`, or None if it can; nothing is trained."""
    import tensorflow as tf

    structure = batches.element_spec[:3]  # Where they are augmented later, more follows.
    specs = tf.nest.flatten(structure)
    filled = [tf.TensorSpec([size, *spec.shape[1:]], spec.dtype) for spec in specs]
    step = tf.function(
        lambda *flat: model.distribute_strategy.run(
            model.train_step, args=(tf.nest.pack_sequence_as(structure, flat),)
        ),
        autograph=False,
        jit_compile=True,
    )
    try:
        step.experimental_get_compiler_ir(*filled)(stage="hlo")
    except (tf.errors.OpError, ValueError, TypeError) as error:
        return one_line(error)
    return None
