"""The stages of the backbone that a phase trains besides the head."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

from pydantic import Field, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from kft.backbone import Backbone, Stage
from kft.errors import ConfigError
from kft.messages import closest
from kft.settings.component import Component, Pattern


class Unfreeze(Component):
    """Chooses the backbone stages that a phase trains. The head is always trained."""

    role: ClassVar[str] = "unfreeze"

    @abstractmethod
    def choose(self, backbone: Backbone) -> Sequence[Stage]:
        """Returns the stages to train, input side first.

        Raises:
            ConfigError: They are not there; ``where`` is relative to this component.
        """

    @property
    def fewest_epochs(self) -> int:
        """How many epochs a phase must have until all that it is to train does."""
        return 1

    def by_epoch(self, backbone: Backbone, epochs: int) -> Sequence[Sequence[Stage]]:
        """Returns the stages that each of `epochs` trains: those chosen, unless a kind says more.

        Raises:
            ConfigError: As `choose`.
        """
        return [self.choose(backbone)] * epochs


def stages_of(backbone: Backbone) -> Sequence[Stage]:
    """Returns the stages of `backbone`.

    Raises:
        ConfigError: It has none, since it cannot be fine-tuned.
    """
    if not backbone.stages:
        raise ConfigError(
            where="kind",
            problem=f"the backbone {backbone.name!r} cannot be fine-tuned: "
            f"{backbone.frozen_because or 'it has no weights'}",
            fix="Set it to 'none', or use another backbone",
        )
    return backbone.stages


class UnfreezeNone(Unfreeze):
    """Trains the head alone."""

    def choose(self, backbone: Backbone) -> Sequence[Stage]:
        return ()


class UnfreezeAll(Unfreeze):
    """Trains every stage."""

    def choose(self, backbone: Backbone) -> Sequence[Stage]:
        return stages_of(backbone)


class UnfreezeTop(Unfreeze):
    """Trains the stages nearest the head; give one of the two settings.

    Attributes:
        stages: How many.
        fraction: What share of them, rounded up.
    """

    stages: PositiveInt | None = None
    fraction: Annotated[float | None, Field(gt=0, le=1)] = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.stages is None) == (self.fraction is None):
            raise PydanticCustomError("one_of", "needs either 'stages' or 'fraction'")
        return self

    def choose(self, backbone: Backbone) -> Sequence[Stage]:
        there = len(stages_of(backbone))
        # With a margin, since 0.1 * 30 is a little more than 3 in floats.
        wanted = self.stages or math.ceil((self.fraction or 0) * there - 1e-9)
        if wanted > there:
            raise ConfigError(
                where="stages",
                problem=f"got {wanted}, but the backbone {backbone.name!r} has {there} stages",
                fix=f"Set it to at most {there}, or use the kind 'all'",
            )
        return backbone.stages[there - wanted :]


class UnfreezeGradual(Unfreeze):
    """Trains the topmost stages at first, and then further down, a group of stages at a time.

    Gradual unfreezing (Howard and Ruder 2018, arXiv 1801.06146). What is unfrozen stays so. There
    is one optimizer and one schedule throughout, for the whole phase.

    Attributes:
        groups: Into how many parts the stages are divided, as equal in number as can be.
        epochs_per_group: After how many epochs the next group joins in.
    """

    groups: PositiveInt = 4
    epochs_per_group: PositiveInt = 1

    @property
    def fewest_epochs(self) -> int:
        return (self.groups - 1) * self.epochs_per_group + 1

    def choose(self, backbone: Backbone) -> Sequence[Stage]:
        there = len(backbone.stages)
        if self.groups > there:
            raise ConfigError(
                where="groups",
                problem=f"got {self.groups}, but the backbone {backbone.name!r} has {there} stages",
                fix=f"Set it to at most {there}",
            )
        return backbone.stages

    def by_epoch(self, backbone: Backbone, epochs: int) -> Sequence[Sequence[Stage]]:
        stages = self.choose(backbone)
        if epochs < self.fewest_epochs:
            raise ConfigError(
                where="groups",
                problem=f"it takes {self.fewest_epochs} epochs until the last of {self.groups} "
                f"groups joins in, and the phase has {epochs}",
                fix="Raise the epochs, or lower groups or epochs_per_group",
            )
        joined = [min(epoch // self.epochs_per_group + 1, self.groups) for epoch in range(epochs)]
        return [stages[len(stages) - len(stages) * part // self.groups :] for part in joined]


class UnfreezeFrom(Unfreeze):
    """Trains a stage and all above it.

    Attributes:
        stage: Name of the lowest one; ``kft plan`` lists the names.
    """

    stage: str

    def choose(self, backbone: Backbone) -> Sequence[Stage]:
        names = [stage.name for stage in stages_of(backbone)]
        if self.stage not in names:
            raise ConfigError(
                where="stage",
                problem=f"the backbone {backbone.name!r} has no stage {self.stage!r}"
                + closest(self.stage, names),
                fix="Use a name that `kft plan --stages` lists",
            )
        return backbone.stages[names.index(self.stage) :]


class UnfreezeMatch(Unfreeze):
    """Trains the stages whose whole name a regular expression matches.

    Attributes:
        pattern: As of Python's ``re``.
    """

    pattern: Pattern

    def choose(self, backbone: Backbone) -> Sequence[Stage]:
        there = stages_of(backbone)
        chosen = [stage for stage in there if re.fullmatch(self.pattern, stage.name)]
        if not chosen:
            names = [stage.name for stage in there]
            raise ConfigError(
                where="pattern",
                problem=f"{self.pattern!r} matches none of the {len(names)} stages of "
                f"{backbone.name!r}, such as {names[0]!r} and {names[-1]!r}",
                fix="Give a pattern that matches the whole name, such as '.*block_1[3-6].*'",
            )
        return chosen
