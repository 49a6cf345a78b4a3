"""The example in the docstring of each public contract runs."""

import doctest

import pytest

import kft

CONTRACTS = (
    "BackboneSource",
    "DataSource",
    "Exporter",
    "Head",
    "Input",
    "Phase",
    "Split",
    "Target",
)


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_example_of_a_contract_runs(name):
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(kft, name), name)

    result = doctest.DocTestRunner().run(test)

    assert result.attempted > 2
    assert result.failed == 0
