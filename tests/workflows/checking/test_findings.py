import shutil

import numpy as np
import pytest
from PIL import Image

from kft.image.input import ImageInput
from kft.results.counts import class_counts
from kft.sources.folders.folder import Folder
from kft.workflows.checking.findings import described, exclusions, in_json, notes_of, oddities
from kft.workflows.checking.survey import Survey, survey

FILES = [f"{split}/{label}" for split in ("train", "val", "test") for label in ("cat", "dog")]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What is seen of class folders in which much is wrong."""
    path = tmp_path_factory.mktemp("data")
    chance = np.random.default_rng(0)
    for folder in FILES:
        (path / folder).mkdir(parents=True)
        for number in range(3):
            noise = Image.fromarray(chance.integers(0, 256, (5, 6, 3), "uint8"))
            noise.resize((48, 40), Image.Resampling.BICUBIC).save(path / f"{folder}/{number}.png")
    copy = {
        "train/cat/0.png": ["train/cat/copy.png", "test/cat/copy.png"],
        "train/dog/1.png": ["train/cat/dog.png"],
    }
    for source, targets in copy.items():
        for target in targets:
            shutil.copy(path / source, path / target)
    Image.open(path / "train/cat/2.png").save(path / "val/cat/near.jpg", quality=60)
    Image.open(path / "val/dog/0.png").save(path / "val/dog/wrong.jpg", "PNG")
    (path / "test/dog/empty.png").write_bytes(b"")
    (path / "test/dog/cut.png").write_bytes((path / "test/dog/0.png").read_bytes()[:100])
    splits = Folder(path=str(path), input=ImageInput(size=(32, 32))).load(0)
    return survey(splits), class_counts(splits)["train"]


def test_notes_say_what_is_wrong_a_sentence_for_each_kind(seen):
    notes = list(notes_of(*seen))

    assert [note.split(":")[0] for note in notes] == [
        "2 examples show the same, but have other labels",
        "3 examples show the same in different splits, so scores look better than they are",
        "2 examples look alike in different splits, so scores may look better than they are",
        "2 examples are copies within a split",
        "odd",
    ]
    assert "train/cat/2.png (train) = val/cat/near.jpg (validation)" in notes[2]
    assert notes[4].endswith("val/dog/wrong.jpg is a PNG, whatever its name says")


def test_of_many_that_are_alike_one_of_each_split_is_told_first():
    splits = ["train"] * 5 + ["test"]
    names = [f"{number}.png" for number in range(6)]
    seen = Survey(names, splits, np.zeros(6), np.zeros((6, 16), "uint8"), None, [], {})

    assert described(seen, *seen.copies) == "0.png (train) = 5.png (test) = 1.png (train) = 3 more"


def test_many_remarks_of_one_kind_hide_none_of_another():
    small = [(f"{n}.png", f"is only {n}x{n} pixels, for a target of 64x64") for n in range(9)]

    notes = list(oddities([*small, ("wrong.jpg", "is a PNG, whatever its name says")]))

    assert len(notes) == 2
    assert notes[0].endswith("2.png is only 2x2 pixels, for a target of 64x64; and 6 more")
    assert notes[1] == "odd: wrong.jpg is a PNG, whatever its name says"


def test_what_may_be_left_out_spares_one_of_each_and_the_split_that_is_judged(seen):
    found = exclusions(seen[0])

    assert list(found)[:2] == ["test/dog/cut.png", "test/dog/empty.png"]
    assert found["test/dog/empty.png"].startswith("cannot be read: Input is empty")
    assert {name: why for name, why in found.items() if not name.startswith("test")} == {
        "train/cat/0.png": "is a copy of test/cat/copy.png",
        "train/cat/copy.png": "is a copy of test/cat/copy.png",
        "train/cat/dog.png": "has another label than its copy train/dog/1.png",
        "train/dog/1.png": "has another label than its copy train/cat/dog.png",
        "val/dog/wrong.jpg": "is a copy of val/dog/0.png",
        "train/cat/2.png": "looks like val/cat/near.jpg, which is in validation",
    }


def test_json_holds_all_groups(seen):
    described = in_json(seen[0])

    assert sorted(len(group) for group in described["copies"]) == [2, 2, 3]
    assert described["contradictions"] == [
        [
            {"name": "train/cat/dog.png", "split": "train"},
            {"name": "train/dog/1.png", "split": "train"},
        ]
    ]


def test_a_class_with_many_times_the_examples_of_another_is_noted(seen):
    (note, *_) = notes_of(seen[0], {"cat": 200, "dog": 19, "cow": 50})

    assert note == (
        "'cat' has 200 training examples and 'dog' has 19: class_weights "
        '"balanced" makes up for it'
    )
