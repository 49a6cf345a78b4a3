"""Files that a run copies and reads in place of the originals."""

import pytest
from text_kinds import Sentences, write_texts
from tiny import TinyDense, Words

from kft.cache.decoded_rows import decode_settings
from kft.errors import ConfigError
from kft.storage.assets import assets_of, keep_assets, with_copies
from kft.storage.run_files import ASSETS


class Misnamed(Words):
    """An input whose asset is no setting."""

    def assets(self):
        return {"table": __file__}


@pytest.fixture
def parts(tmp_path):
    write_texts(tmp_path)
    given = Sentences(vocabulary=str(tmp_path / "words.txt"))
    return {"backbone": TinyDense(), "data.input": given}


def test_assets_are_copied_once_and_read_from_there(tmp_path, parts):
    keep_assets(tmp_path, parts)
    (tmp_path / "words.txt").write_text("changed")
    keep_assets(tmp_path, parts)

    copies = with_copies(tmp_path, parts)

    place = tmp_path / ASSETS / "data.input.vocabulary/words.txt"
    assert assets_of(copies) == {"data.input.vocabulary": str(place)}
    assert "warm" in place.read_text()
    assert copies["backbone"] is parts["backbone"]
    assert {path.name for path in tmp_path.iterdir()} == {ASSETS, "words.txt", "texts.csv"}


def test_what_is_an_asset_is_no_dependency_of_the_original(parts):
    assert parts["data.input"].dependencies() == {}


def test_a_component_without_assets_leaves_none(tmp_path):
    keep_assets(tmp_path, {"backbone": TinyDense()})

    assert not [*tmp_path.iterdir()]


def test_an_asset_that_cannot_be_read_leaves_nothing(tmp_path, parts):
    (tmp_path / "words.txt").unlink()

    with pytest.raises(ConfigError, match=r"data.input.vocabulary '.*': cannot be read: No such"):
        keep_assets(tmp_path, parts)

    assert not (tmp_path / ASSETS).exists()


def test_assets_that_are_no_settings_have_to_say_how_they_are_read(tmp_path):
    parts = {"data.input": Misnamed()}
    keep_assets(tmp_path, parts)

    with pytest.raises(TypeError, match=r"assets\(\) names \['table'\], which are no settings"):
        with_copies(tmp_path, parts)


def test_decoded_examples_are_found_again_by_the_content_of_assets(tmp_path, parts):
    keep_assets(tmp_path, parts)
    copy = with_copies(tmp_path, parts)["data.input"]

    before = decode_settings(parts["data.input"])
    assert decode_settings(copy) == before
    (tmp_path / "words.txt").write_text("changed")
    assert decode_settings(parts["data.input"]) != before
