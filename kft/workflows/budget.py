"""Fits the default recipe into a budget of time, by what an epoch takes on this machine."""

from __future__ import annotations

import time

from kft.config.recipe import FEWEST_EPOCHS, MOST_EPOCHS, lasting
from kft.config.run_config import RunConfig
from kft.data import Splits
from kft.distribute.cluster import min_over_workers
from kft.engine.deadline import AROUND
from kft.engine.prepare import steps_per_epoch
from kft.engine.random_state import preserve_random_state
from kft.progress import say
from kft.workflows.checking.estimate import estimates

# What an epoch takes besides its steps, as a factor: copies of the weights, and the state on disk.
BESIDES = 1.2


def within_budget(config: RunConfig, splits: Splits, started: float) -> RunConfig:
    """Returns `config`, which has the default recipe, with fine-tuning for as long as there is.

    `started` is what `time.monotonic` gave as the run began. Without a budget it is `config`.
    """
    if config.time_budget is None:
        return config
    if len(config.phases) < 2:
        say(f"note: nothing but the head can train, so {config.time_budget} changes nothing")
        return config.model_copy(update={"time_budget": None})
    say("Measuring how long the phases take")
    with preserve_random_state():
        head, finetune = estimates(config, splits)
    # The refit does all of it again, on the validation examples too.
    again = (splits.train.size + splits.validation.size) / splits.train.size if config.refit else 0
    once = head.tracing + head.seconds + finetune.tracing
    left = config.budget_seconds - (time.monotonic() - started + AROUND + (1 + again) * once)
    each = BESIDES * (1 + again) * finetune.seconds / config.phases[1].epochs
    epochs = min(max(int(left / each), 1), MOST_EPOCHS)
    epochs = min_over_workers(epochs)
    say(f"{config.time_budget}: fine-tuning for {epochs} epochs of about {each:.1f} s")
    if left < FEWEST_EPOCHS * each:
        say(f"note: {config.time_budget} is short of the {FEWEST_EPOCHS} epochs it takes at least")
    steps = steps_per_epoch(splits.train, config.data.batch_size)
    fitting = (config.phases[0], lasting(config.phases[1], epochs, steps))
    return config.model_copy(update={"phases": fitting, "time_budget": None})
