import numpy as np
import pytest

from kft.input import Fingerprints
from kft.workflows.checking.duplicates import NEAR_BITS, NEAR_LEVELS, Alike, alike, same


def prints(count, seed=0):
    """Fingerprints of which no two are near."""
    chance = np.random.default_rng(seed)
    return Fingerprints(
        chance.integers(0, 2**64, count, "uint64"), chance.integers(0, 256, (count, 12), "uint8")
    )


def flipped(hash, bits):
    return hash ^ np.uint64(sum(1 << bit for bit in bits))


def test_equal_digests_are_the_same():
    digests = np.random.default_rng(0).integers(0, 256, (9, 16), "uint8")
    digests[[2, 7, 8]] = digests[4]

    assert same(digests) == [Alike((2, 4, 7, 8), exact=True)]
    assert same(digests[:0]) == []


@pytest.mark.parametrize("bits", [[], [0], [63], [0, 20, 40, 60], [31, 32, 33, 34]])
def test_hashes_that_differ_in_few_bits_are_found_wherever_those_are(bits):
    found = prints(50)
    found.sketches[30] = found.sketches[10]
    found.hashes[30] = flipped(found.hashes[10], bits)

    assert len(bits) <= NEAR_BITS
    assert alike(found) == [Alike((10, 30), exact=False)]


def test_hashes_or_sketches_that_differ_by_more_are_not_alike():
    found = prints(50)
    found.sketches[1] = found.sketches[0]
    found.hashes[1] = flipped(found.hashes[0], range(0, 10 * NEAR_BITS + 1, 10))
    found.hashes[3] = found.hashes[2]
    found.sketches[2], found.sketches[3] = 100, 101 + NEAR_LEVELS

    assert alike(found) == []


def test_neighbours_in_a_chain_are_one_group():
    found = prints(20)
    found.sketches[[1, 3, 5, 8]] = 7
    for place, bits in {3: 3, 5: 6, 8: 9}.items():
        found.hashes[place] = flipped(found.hashes[1], range(bits))

    assert alike(found) == [Alike((1, 3, 5, 8), exact=False)]


def test_many_examples_are_compared_in_no_time_though_many_are_the_same():
    found = prints(60_000)
    found.hashes[::2] = found.hashes[0]
    found.sketches[::2] = found.sketches[0]

    (group,) = alike(found)

    assert len(group.members) == 30_000
