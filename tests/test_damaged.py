"""Hundreds of damaged files, as disks and downloads leave them, through all that reads pictures."""

import csv
import io

import keras
import numpy as np
import pytest
from PIL import Image
from tiny_runs import config

from kft.backbone import Backbone, BackboneSource, layer_stages
from kft.image.input import ImageInput
from kft.sources.folders.folder import Folder
from kft.sources.unlabelled import Unread
from kft.storage.run_files import SKIPPED
from kft.workflows.check import check
from kft.workflows.predict import predict_each
from kft.workflows.run import run

DAMAGED, WHOLE = 500, 60
FORMS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP"}

pytestmark = pytest.mark.slow


class Pooled(BackboneSource):
    """The mean colour."""

    def load(self, input_spec, pretrained=True):
        pixels = keras.Input(input_spec.shape, dtype="uint8")
        scaled = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
        x = keras.layers.Conv2D(4, 3, strides=4, name="low")(scaled)
        model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x))
        return Backbone("pooled", model, layer_stages(model), self.batch_norm)


def picture(chance, form):
    levels = chance.integers(0, 256, (6, 7, 3), "uint8")
    file = io.BytesIO()
    Image.fromarray(levels).resize((56, 48)).save(file, FORMS[form])
    return file.getvalue()


def damaged(raw, how, chance):
    if how == "cut":
        return raw[: chance.integers(1, len(raw))]
    if how == "flipped":
        spoilt = bytearray(raw)
        for place in chance.integers(0, len(raw), chance.integers(1, 40)):
            spoilt[place] ^= int(chance.integers(1, 256))
        return bytes(spoilt)
    if how == "text":
        return b"a,b,c\n" * 20
    return b"" if how == "empty" else raw


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders of whole pictures, and of damaged ones whose names say how."""
    path = tmp_path_factory.mktemp("photos")
    chance = np.random.default_rng(7)
    endings = [*FORMS]
    for label in ("cats", "dogs"):
        (path / label).mkdir()
    for number in range(WHOLE):
        ending = endings[number % 5]
        raw = picture(chance, ending)
        (path / ("cats", "dogs")[number % 2] / f"whole{number}.{ending}").write_bytes(raw)
    for number in range(DAMAGED):
        how = ("cut", "flipped", "text", "empty", "renamed")[number % 5]
        form, ending = endings[number // 5 % 5], endings[(number // 5 + (how == "renamed")) % 5]
        raw = damaged(picture(chance, form), how, chance)
        (path / ("cats", "dogs")[number % 2] / f"{how}{number}.{ending}").write_bytes(raw)
    return path


@pytest.fixture(scope="module")
def settings(folder, tmp_path_factory):
    source = Folder(path=str(folder), input=ImageInput(size=(32, 32)), on_bad_input="skip")
    made = config(tmp_path_factory.mktemp("runs") / "run", data=source, backbone=Pooled())
    return made.model_copy(update={"phases": made.phases[:1]})


def test_each_of_500_damaged_files_is_named_by_all_that_read_it(folder, settings):
    found = check(settings)
    done = run(settings)
    files = sorted(folder.glob("*/*"))
    answered = [*predict_each(done.directory, files)]

    assert found.is_fine
    with (done.directory / SKIPPED).open(newline="") as skipped:
        left_out = {row["path"]: row["reason"] for row in csv.DictReader(skipped)}
    unread = {
        str(file.relative_to(folder))
        for file, each in zip(files, answered, strict=True)
        if isinstance(each, Unread)
    }
    assert set(found.bad) == set(left_out) == unread
    assert [each.name for each in answered] == [*map(str, files)]
    assert len(answered) == DAMAGED + WHOLE
    named = {how: sum(f"/{how}" in name for name in unread) for how in ("text", "empty", "whole")}
    assert named == {"text": 100, "empty": 100, "whole": 0}
    assert sum("/cut" in name for name in unread) >= 90
    odd = {name for name, remark in found.seen.odd if "whatever its name says" in remark}
    assert sum("/renamed" in name for name in odd) == 100
    assert all(reason and "\n" not in reason for reason in {**left_out, **found.bad}.values())
