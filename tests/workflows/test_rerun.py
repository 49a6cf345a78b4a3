"""What can be done with a run afterwards."""

import pytest

from kft.errors import ConfigError
from kft.image.input import ImageInput
from kft.sources.folders.folder import Folder
from kft.sources.splitting.split_rule import SplitRule
from kft.workflows.rerun import other_data


def test_other_folders_are_read_by_the_names_of_the_splits_of_the_run(tmp_path):
    rule = SplitRule(names={"Lern": "train"})
    own = Folder(path="photos", input=ImageInput(size=(8, 8)), split=rule)
    for name in ("Lern/oak/1.png", "Lern/elm/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()

    other = other_data(own, str(tmp_path))

    assert (other.path, other.split) == (str(tmp_path), rule)
    with pytest.raises(ConfigError, match="is a file, expected class folders"):
        other_data(own, str(tmp_path / "Lern/oak/1.png"))
