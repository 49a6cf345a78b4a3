"""What varies the training examples of a phase: the input, the phase, or nothing."""

import pytest
from tiny import Noise, Shaken, Varied, Vectors, phase

from kft.errors import ConfigError
from kft.pipeline.augment import augmenting_input

SHAKEN, STRONG = Shaken(), Varied(augmentations=(Noise(strength=9.0),))


@pytest.mark.parametrize(
    ("input", "augment", "expected"),
    [
        (Vectors(), None, None),
        (SHAKEN, None, SHAKEN),
        (Vectors(), False, None),
        (SHAKEN, False, None),
        (SHAKEN, [], None),
        (SHAKEN, True, SHAKEN),
        (STRONG, True, STRONG),
        (Varied(), True, Varied(augmentations=(Noise(strength=0.1),))),
        (Varied(), [Noise()], Varied(augmentations=(Noise(),))),
        (STRONG, [{"kind": "tiny:Noise"}], Varied(augmentations=(Noise(),))),
    ],
)
def test_a_phase_augments_as_it_says_or_else_as_the_input_does(input, augment, expected):
    assert augmenting_input(phase(augment=augment), input) == expected


class Plain(Varied):
    """Takes augmentations, and has none that are standard."""

    standard_augmentations = ()


@pytest.mark.parametrize(
    ("input", "augment", "message"),
    [
        (Vectors(), True, "^augment: the input 'tiny:Vectors' takes no augmentations from a phase"),
        (Plain(), True, "has no standard augmentations. List some, set it to false"),
        (Vectors(), [Noise()], "the input 'tiny:Vectors' takes no augmentations from a phase"),
        (SHAKEN, [Noise()], "takes no augmentations from a phase. Remove it, or set it to false"),
    ],
)
def test_a_phase_is_refused_an_augmentation_that_its_input_does_not_have(input, augment, message):
    with pytest.raises(ConfigError, match=message):
        augmenting_input(phase(augment=augment), input)
