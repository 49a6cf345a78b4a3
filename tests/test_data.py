"""The data contract."""

import pytest

from kft.data import Target
from kft.errors import DataError


@pytest.mark.parametrize("name", ["a\nb", "a\r", "a\u2028b", "a\x85b"])
def test_a_name_of_more_than_one_line_is_refused(name):
    with pytest.raises(DataError, match="the names of the target: hold .*more than one line"):
        Target("class", ("b", name))
