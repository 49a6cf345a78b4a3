"""Whether a killed run can go on with the data that there is now."""

from dataclasses import replace

import pytest
from tiny import Ramp

from kft.data import Target
from kft.errors import ConfigError
from kft.results.report import write_beginning
from kft.results.resume import refuse_other_list


def test_classes_in_another_order_are_told_as_such(tmp_path):
    splits = Ramp().load(0)
    write_beginning(tmp_path, splits, {})
    names = splits.target.names
    relabelled = {
        part: replace(split, labels=2 - split.labels) for part, split in splits.by_name().items()
    }
    turned = replace(splits.with_splits(relabelled, ()), target=Target("class", names[::-1]))

    refuse_other_list(tmp_path, splits)

    with pytest.raises(
        ConfigError, match="the classes were in the order 'low', 'middle', 'high'. Restore"
    ):
        refuse_other_list(tmp_path, turned)
