"""What a check finds before a run would."""

import pytest
from tiny import TinyDense
from tiny_runs import config

from kft.errors import BackboneError, ConfigError
from kft.image.applications import KerasApplication
from kft.workflows.check import check, check_and_write


class NamesAFile(TinyDense):
    """Names weights that are not on this machine."""

    def look_for_weights(self):
        raise BackboneError("backbone.weights 'gone.h5'", "is not a file", "Correct the path")


def test_weights_that_are_not_there_and_a_used_directory_are_faults(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    settings = config(tmp_path / "run", backbone=NamesAFile())

    result = check(settings)

    assert not result.is_fine
    assert [fault.split(":")[0].split(" ")[0] for fault in result.faults] == [
        "output_dir",
        "backbone.weights",
    ]


def test_a_report_that_cannot_be_written_is_told_before_the_data_is_read(tmp_path):
    settings = config(tmp_path / "run")

    for name in ("report", "excluded"):
        files = {"report": None, "excluded": None, name: tmp_path / "nowhere" / "file"}
        with pytest.raises(
            ConfigError, match="nowhere/file: has no folder .*nowhere'. Make this folder"
        ):
            check_and_write(settings, **files)


def test_an_interpolation_without_fine_tuning_is_a_fault(tmp_path):
    one = config(tmp_path / "run").phases[:1]

    (fault,) = check(config(tmp_path / "run", phases=one, select="interpolate")).faults

    assert fault.startswith("select: is 'interpolate', but no phase after the first trains")


def test_a_weights_file_is_looked_for_and_nothing_is_downloaded(tmp_path):
    (tmp_path / "here.h5").touch()
    for weights in ("imagenet", None, str(tmp_path / "here.h5")):
        KerasApplication(name="VGG16", weights=weights).look_for_weights()

    with pytest.raises(BackboneError, match="gone.h5': is not a file on this machine"):
        KerasApplication(name="VGG16", weights=str(tmp_path / "gone.h5")).look_for_weights()
