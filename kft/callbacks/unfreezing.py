"""Unfreezing within one fit: all at once, or group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras

from kft.callbacks.choice import Layers, all_layers, choose, is_batch_norm
from kft.callbacks.trainable import (
    ChangesTraining,
    rate_of,
    refuse,
    set_trainable,
    updates_of,
)
from kft.callbacks.warm_up import WarmUp
from kft.callbacks.whole import refuse_gained
from kft.errors import ConfigError
from kft.layers.precision import unscaled


class Unfreezing(ChangesTraining):
    """Base of the callbacks that unfreeze: groups of layers, each with its epoch."""

    in_a_run = "Set the 'unfreeze' of a phase instead"
    epoch_setting: ClassVar[str] = "at_epoch"

    def __init__(
        self,
        groups: Sequence[tuple[int, Layers]],
        learning_rate: float | None,
        warmup_steps: int | None,
        batch_norm: Literal["frozen", "train"],
    ) -> None:
        super().__init__()
        self._name = type(self).__name__
        self._groups = groups
        self._learning_rate = learning_rate
        self._warmup_steps = warmup_steps
        self._batch_norm = batch_norm
        self._check()

    def _check(self) -> None:
        """Raises ConfigError if a setting is out of range."""
        rules = {
            self.epoch_setting: (self._groups[0][0] >= 0, self._groups[0][0], "0 or more"),
            "learning_rate": (
                self._learning_rate is None or self._learning_rate > 0,
                self._learning_rate,
                "more than 0",
            ),
            "warmup_steps": (
                self._warmup_steps is None or self._warmup_steps >= 0,
                self._warmup_steps,
                "0 or more",
            ),
            "batch_norm": (
                self._batch_norm in ("frozen", "train"),
                self._batch_norm,
                "'frozen' or 'train'",
            ),
        }
        for setting, (holds, found, allowed) in rules.items():
            if not holds:
                raise ConfigError(
                    f"{self._name}.{setting}", f"got {found!r}", f"Set it to {allowed}"
                )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds the layers, and refuses an optimizer that cannot take them on."""
        refuse(self._name, self.model.optimizer)
        if rate_of(self.model.optimizer) is None and (self._learning_rate or self._warmup_steps):
            raise ConfigError(
                self._name,
                "the learning rate of the optimizer is a schedule, which cannot be set",
                "Leave learning_rate and warmup_steps out, or give the optimizer a number",
            )
        self._layers = self._chosen()
        self._unfrozen: int | None = None
        self._updates: int | None = None
        self._warmup: WarmUp | None = None

    def _chosen(self) -> list[list[keras.layers.Layer]]:
        where = f"{self._name}.layers"
        return [choose(self.model, layers, where) for _, layers in self._groups]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets what is trained in this epoch, whatever was before."""
        updates = updates_of(self.model.optimizer)
        due = sum(at_epoch <= epoch for at_epoch, _ in self._groups)
        if due != self._unfrozen:
            self._set_layers(due)
            resumed = self._unfrozen is None and epoch not in dict(self._groups)
            # The rate that a resumed fit brings along holds; another callback may have cut it.
            if due and not (resumed and updates):
                self._set_rate(first=due == 1 or resumed)
        self._unfrozen, self._updates = due, updates

    def _set_layers(self, due: int) -> None:
        """Trains the first `due` groups and freezes the others."""
        trained = all_layers(layer for group in self._layers[:due] for layer in group)
        # A later group may hold an earlier one: the whole backbone after its upper blocks.
        later = all_layers(layer for group in self._layers[due:] for layer in group)
        frozen = [layer for layer in later if layer not in trained]
        if self._batch_norm == "frozen":
            frozen += filter(is_batch_norm, trained)
        set_trainable(self.model, trained, frozen)

    def _set_rate(self, first: bool) -> None:
        """Sets the rate for the layers that were just unfrozen, and begins a warm-up."""
        optimizer = self.model.optimizer
        if rate_of(optimizer) is None:
            return
        if first and self._learning_rate is not None:
            optimizer.learning_rate = self._learning_rate
        steps = self._updates_of_an_epoch() if self._warmup_steps is None else self._warmup_steps
        self._warmup = WarmUp(optimizer, steps)

    def _updates_of_an_epoch(self) -> int:
        if self._updates is not None:
            return updates_of(self.model.optimizer) - self._updates
        if self.params["steps"] is None:
            raise ConfigError(
                f"{self._name}.warmup_steps",
                "how many steps an epoch has is not known before the first has ended",
                "Give warmup_steps, or give fit steps_per_epoch",
            )
        accumulated = unscaled(self.model.optimizer).gradient_accumulation_steps or 1
        return int(self.params["steps"]) // accumulated

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Refuses layers that were added since, which were not frozen."""
        before, now = (all_layers(sum(groups, [])) for groups in (self._layers, self._chosen()))
        refuse_gained(self._name, before, now)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises the rate a little during a warm-up."""
        if self._warmup is not None and self._warmup.raise_rate():
            self._warmup = None


class UnfreezeBackbone(Unfreezing):
    """Trains the head first and the backbone with it from an epoch on, within one ``fit``.

    Before `at_epoch` the layers are frozen, from then on trained, whatever state they came in, so
    a resumed fit needs only its ``initial_epoch``. The optimizer goes on: the head keeps its
    momentum, and the step number counts on. Do not compile in between.

    Attributes:
        layers: What to unfreeze: a layer or a model inside the model, which means all inside it
            too; a regular expression that matches the whole names of layers at any depth; or
            several of either. Names also fit a model that was loaded from a file.
        at_epoch: The first epoch that trains them, counted from 0 as ``fit`` does.
        learning_rate: Of all layers from then on, often a tenth to a hundredth of the first. None
            leaves it.
        warmup_steps: In how many updates the rate rises to its value. None takes as many as an
            epoch has, or none where the rate is a schedule. Adam's velocities of the unfrozen
            layers begin at 0 long after its correction of that has faded, so without a warm-up
            the first updates are up to six times as long as the rate says.
        batch_norm: ``frozen`` keeps the batch normalisation of the layers in inference mode, as
            the statistics of small batches are what wrecks a pretrained model; ``train`` does not.

    Raises:
        ConfigError: When ``fit`` begins: no such layers, or an optimizer with EMA, or a
            `learning_rate` beside a schedule.

    Example:
        >>> import keras, numpy as np
        >>> from kft.callbacks import UnfreezeBackbone
        >>> backbone = keras.Sequential(
        ...     [keras.Input((8,)), keras.layers.Dense(4, activation="relu")], name="backbone"
        ... )
        >>> model = keras.Sequential([keras.Input((8,)), backbone, keras.layers.Dense(1)])
        >>> model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
        >>> x, y = np.random.rand(32, 8), np.random.rand(32)
        >>> unfreeze = UnfreezeBackbone("backbone", at_epoch=2, learning_rate=1e-3)
        >>> history = model.fit(x, y, epochs=4, callbacks=[unfreeze], verbose=0)
        >>> backbone.trainable, round(float(model.optimizer.learning_rate), 4)
        (True, 0.001)
    """

    def __init__(
        self,
        layers: Layers,
        at_epoch: int,
        learning_rate: float | None = None,
        *,
        warmup_steps: int | None = None,
        batch_norm: Literal["frozen", "train"] = "frozen",
    ) -> None:
        super().__init__([(at_epoch, layers)], learning_rate, warmup_steps, batch_norm)


class GradualUnfreeze(Unfreezing):
    """Unfreezes one group of layers after another within one ``fit``, that next to the head first.

    The schedule of ULMFiT (Howard and Ruder 2018). Otherwise as `UnfreezeBackbone`; each group
    begins with a warm-up of its own, and the learning rate is set once, with the first.

    Attributes:
        groups: For each epoch, counted from 0, what to unfreeze then; as the ``layers`` of
            `UnfreezeBackbone`.

    Raises:
        ConfigError: As `UnfreezeBackbone`.

    Example:
        >>> import keras, numpy as np
        >>> from kft.callbacks import GradualUnfreeze
        >>> model = keras.Sequential(
        ...     [keras.Input((8,))]
        ...     + [keras.layers.Dense(8, "relu", name=f"block_{n}") for n in (1, 2, 3)]
        ...     + [keras.layers.Dense(1, name="head")]
        ... )
        >>> model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
        >>> x, y = np.random.rand(32, 8), np.random.rand(32)
        >>> unfreeze = GradualUnfreeze({1: "block_3", 3: "block_[12]"})
        >>> history = model.fit(x, y, epochs=2, callbacks=[unfreeze], verbose=0)
        >>> [layer.trainable for layer in model.layers]
        [False, False, True, True]
    """

    epoch_setting = "groups"

    def __init__(
        self,
        groups: Mapping[int, Layers],
        learning_rate: float | None = None,
        *,
        warmup_steps: int | None = None,
        batch_norm: Literal["frozen", "train"] = "frozen",
    ) -> None:
        if not isinstance(groups, Mapping) or not groups:
            raise ConfigError(
                "GradualUnfreeze.groups",
                f"got {groups!r}",
                "Give the layers of each epoch, such as {1: 'block_3', 2: 'block_[12]'}",
            )
        timed = sorted(groups.items(), key=lambda group: group[0])
        super().__init__(timed, learning_rate, warmup_steps, batch_norm)
