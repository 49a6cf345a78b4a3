"""How settings name classes: kinds, trust, hints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from kft.data import DataSource
from kft.head import Head
from kft.heads.classifier import Classifier
from kft.messages import closest
from kft.recipe.optimizer import Adam, Optimizer
from kft.recipe.unfreeze import Unfreeze
from kft.settings.component import Settings, absolute, find_component
from kft.sources.folders.folder import Folder


class Holder(Settings):
    """Takes components as a config does."""

    head: Head = Classifier()
    data: DataSource | None = None
    optimizer: Optimizer | None = None
    unfreeze: Unfreeze | None = None


def faults(settings: dict[str, object], trust: tuple[str, ...] | None = None) -> dict[str, str]:
    """Returns the messages by their place."""
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate(settings, context={"trust": trust})
    return {".".join(map(str, fault["loc"])): fault["msg"] for fault in caught.value.errors()}


def test_a_kind_becomes_its_class_with_its_settings():
    settings = {"head": {"kind": "classifier", "hidden": [8]}, "optimizer": {"kind": "adam"}}

    held = Holder.model_validate(settings)

    assert held.head == Classifier(hidden=(8,))
    assert held.optimizer == Adam()


def test_an_object_is_taken_as_it_is():
    head = Classifier(dropout=0.1)

    held = Holder(head=head)

    assert held.head is head


def test_a_component_names_its_kind():
    kinds = [Classifier().kind, Adam().kind, Folder(path="x", input={"kind": "image"}).kind]

    assert kinds == ["classifier", "adam", "folder"]


def test_a_kind_survives_a_round_trip_of_its_own_class():
    folder = Folder(path="photos", input={"kind": "image", "augment": [{"kind": "flip"}]})

    again = Folder.model_validate(
        folder.model_dump(mode="json", by_alias=True, serialize_as_any=True)
    )

    assert again == folder


def test_a_component_is_frozen():
    head = Classifier()

    with pytest.raises(ValidationError, match="frozen"):
        head.dropout = 0.5


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"dropout": 0.1}, "has no 'kind'. Known: classifier, multilabel, regressor"),
        ({"kind": None}, "has no 'kind'. Known: classifier, multilabel, regressor"),
        ({"kind": 3}, "has a 'kind' that is 3. Known: classifier, multilabel, regressor"),
        (
            {"kind": ["classifier"]},
            "has a 'kind' that is ['classifier']. Known: classifier, multilabel, regressor",
        ),
        ({"kind": "clasifier"}, "no head kind 'clasifier'. Did you mean 'classifier'?"),
        ({"kind": "zzz"}, "no head kind 'zzz'. Known: classifier, multilabel, regressor"),
        ("classifier", 'should be an object, such as {"kind": "classifier"}'),
        ({"kind": "{x}"}, "no head kind '{x}'. Known: classifier, multilabel, regressor"),
    ],
)
def test_a_wrong_kind_is_told_with_what_there_is(head, message):
    assert faults({"head": head}) == {"head": message}


def test_all_faults_come_at_once_each_at_its_place():
    settings = {
        "head": {"kind": "classifier", "hiden": [1], "dropout": 2},
        "optimizer": {"kind": "sgd", "momentum": 1.5},
        "unfreeze": {"kind": "top"},
        "dat": {},
    }

    messages = faults(settings)

    assert messages["head.hiden"] == "unknown key. Did you mean 'hidden'?"
    assert "less than 1" in messages["head.dropout"]
    assert "less than 1" in messages["optimizer.momentum"]
    assert messages["unfreeze"] == "needs either 'stages' or 'fraction'"
    assert messages["dat"] == "unknown key. Did you mean 'data'?"
    assert len(messages) == 5


def test_an_unknown_key_near_nothing_lists_the_keys_there_are():
    messages = faults({"optimizer": {"kind": "sgd", "zzz": 1}})

    assert messages == {"optimizer.zzz": "unknown key. Known: learning_rate, momentum, nesterov"}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nosuch.module:Head", "cannot import 'nosuch.module:Head': No module named 'nosuch'"),
        ("tiny:NoSuch", "cannot import 'tiny:NoSuch': module 'tiny' has no attribute 'NoSuch'"),
        ("tiny:", "cannot import 'tiny:'"),
        (":Head", "cannot import ':Head'"),
        ("tiny:Vectors", "'tiny:Vectors' is not a head component"),
        ("pathlib:Path", "'pathlib:Path' is not a head component"),
        ("kft.head:Head", "'kft.head:Head' is abstract: it lacks loss, metrics, outputs, served"),
    ],
)
def test_a_class_that_will_not_do_is_a_fault_like_any_other(kind, message):
    messages = faults({"head": {"kind": kind}})

    assert messages["head"].startswith(message)


def test_a_class_of_an_untrusted_package_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "evil_parts.py").write_text("open('imported', 'w').close()", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    messages = faults({"head": {"kind": "evil_parts:Head"}}, trust=("tiny",))

    assert messages == {
        "head": "'evil_parts:Head' would run code of the package 'evil_parts'. If you trust it, "
        "add --trust evil_parts"
    }
    assert not Path("imported").exists()


def test_a_trusted_class_works_and_names_itself():
    settings = {"data": {"kind": "tiny:Ramp", "batch_size": 3}}

    held = Holder.model_validate(settings, context={"trust": ("tiny",)})

    assert (held.data.kind, held.data.batch_size) == ("tiny:Ramp", 3)


def test_trust_reaches_a_component_inside_another():
    folder = {"kind": "folder", "path": "photos", "input": {"kind": "tiny:Vectors"}}

    messages = faults({"data": folder}, trust=())

    assert list(messages) == ["data.input"]
    assert "--trust tiny" in messages["data.input"]


def test_the_classes_of_kft_need_no_trust():
    assert find_component("head", "kft.heads.classifier:Classifier", ()) is Classifier


def test_making_a_component_touches_no_disk_and_no_tensorflow():
    script = (
        "import sys\n"
        "from kft.sources.folders.folder import Folder\n"
        "from kft.image.applications import KerasApplication\n"
        "Folder(path='/nosuch', input={'kind': 'image'})\n"
        "KerasApplication(name='VGG16', weights='/nosuch.h5')\n"
        "print('tensorflow' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout == "False\n", done.stderr


def test_a_relative_path_is_made_absolute_and_a_url_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")

    made = [absolute("a/../b"), absolute("/c"), absolute("~/d"), absolute("gs://bucket/e")]

    assert made == [str(tmp_path / "b"), "/c", "/home/me/d", "gs://bucket/e"]


def test_closest_asks_for_the_nearest_or_lists_all():
    assert closest("adm", ["sgd", "adam"]) == ". Did you mean 'adam'?"
    assert closest("zzz", ["sgd", "adam"]) == ". Known: adam, sgd"
    layers = [f"block_{number:03}" for number in range(150)]
    assert closest("zzz", layers).endswith("block_008, block_009 and 140 more")
