"""What varies the training examples of a phase."""

from __future__ import annotations

from kft.errors import ConfigError
from kft.input import Input
from kft.phase import Phase


def augmenting_input(phase: Phase, input: Input) -> Input | None:
    """The input whose `augment` varies the training examples of `phase`; None if none does.

    `input` is that of the data.

    Raises:
        ConfigError: The phase asks for what `input` does not have.
    """
    chosen = phase.augment
    if chosen is None or (chosen is True and input.is_augmented):
        return input if input.is_augmented else None
    if chosen is False or chosen == ():
        return None
    own = input.standard_augmentations if chosen is True else chosen
    varied = input.with_augmentations(own)
    if not own:
        raise ConfigError(
            where="augment",
            problem=f"the input {input.kind!r} has no standard augmentations",
            fix="List some, set it to false, or leave it out",
        )
    return varied
