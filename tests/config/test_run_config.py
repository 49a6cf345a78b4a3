import json
import os
import re
import time
from pathlib import Path

import pytest
from small_configs import BACKBONE, DATA, SMALL, fault

from kft.config.run_config import load_config, shipped_configs
from kft.errors import ConfigError
from kft.settings.catalog import CATALOG
from kft.sources.folders.folder import Folder

HEAD_PHASE = {
    "name": "a",
    "epochs": 1,
    "optimizer": {"kind": "adam"},
    "unfreeze": {"kind": "none"},
}


TUNE_PHASE = {**HEAD_PHASE, "name": "b", "unfreeze": {"kind": "all"}}
PHASED = {**SMALL, "phases": [HEAD_PHASE, TUNE_PHASE]}


def test_a_config_says_no_more_than_data_and_backbone():
    config = load_config(SMALL)

    assert config.phases == ()
    assert config.head.kind == "classifier"
    assert [exporter.kind for exporter in config.exporters] == ["saved_model"]
    assert (config.seed, config.monitored, config.select) == (0, "accuracy", "auto")


def test_the_output_directory_is_named_after_the_file_and_the_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pets.json").write_text(json.dumps(SMALL), encoding="utf-8")

    output_dir = load_config("pets.json").output_dir

    assert re.fullmatch(rf"{tmp_path}/runs/pets-{time.strftime('%Y')}\d{{4}}-\d{{6}}", output_dir)


def test_paths_are_stored_absolute_and_addresses_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    near = load_config({**SMALL, "output_dir": "here"})
    far = load_config({**SMALL, "output_dir": "gs://bucket/run"})

    assert near.output_dir == f"{tmp_path}/here"
    assert near.data.path == f"{tmp_path}/photos"
    assert far.output_dir == "gs://bucket/run"


@pytest.mark.parametrize("name", shipped_configs())
def test_a_shipped_config_loads_by_name_and_by_path(name):
    by_name = load_config(name, ["output_dir=here"])
    by_path = load_config(f"configs/{name}.json", ["output_dir=here"])

    assert by_name == by_path


def test_a_file_wins_over_a_shipped_config_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text(json.dumps({**SMALL, "seed": 8}), encoding="utf-8")

    assert load_config("quickstart").seed == 8


def test_what_a_config_says_is_read_back_equal(tmp_path):
    varied = {
        "$schema": "schema.json",
        "seed": 3,
        "data": {
            **DATA,
            "input": {
                "kind": "image",
                "size": [64, 96],
                "augment": [{"kind": "flip"}, {"kind": "rotate", "degrees": 5}],
            },
            "split": {"validation": 0.2, "test": 0},
        },
        "backbone": BACKBONE,
        "head": {"kind": "classifier", "hidden": [12, 6], "l2": 0.001},
        "phases": [
            {
                "name": "all",
                "epochs": 2,
                "optimizer": {"kind": "lion", "weight_decay": 0.1},
                "schedule": {"kind": "plateau", "factor": 0.2},
                "unfreeze": {"kind": "top", "fraction": 0.5},
                "early_stopping": {"patience": 2},
            }
        ],
        "class_weights": {"café": 2.0},
        "callbacks": [{"kind": "keras.callbacks:TerminateOnNaN"}],
    }
    config = load_config(varied)
    path = tmp_path / "config.json"

    path.write_text(config.to_json(), encoding="utf-8")

    again = load_config(path, trust=())
    assert again == config
    assert again.data.input.augmentations == config.data.input.augmentations
    assert again.phases[0].optimizer.weight_decay == 0.1
    assert again.callbacks[0].model_extra == config.callbacks[0].model_extra


@pytest.mark.parametrize("name", shipped_configs())
def test_a_shipped_config_is_read_back_equal(name, tmp_path):
    config = load_config(name)
    (tmp_path / "config.json").write_text(config.to_json(), encoding="utf-8")

    assert load_config(tmp_path / "config.json") == config


def test_kind_comes_first_where_a_config_is_written():
    written = json.loads(load_config(PHASED).to_json())

    assert next(iter(written["data"])) == "kind"
    assert next(iter(written["phases"][0]["optimizer"])) == "kind"


def test_phases_that_are_left_out_stay_so_where_a_config_is_written(tmp_path):
    config = load_config(SMALL)
    (tmp_path / "config.json").write_text(config.to_json(), encoding="utf-8")

    assert load_config(tmp_path / "config.json") == config


@pytest.mark.parametrize(("budget", "seconds"), [("90s", 90), ("1.5m", 90), ("2h", 7200)])
def test_a_time_budget_has_a_unit(budget, seconds):
    assert load_config(SMALL, [f"time_budget={budget}"]).budget_seconds == seconds


def test_a_time_budget_is_for_the_default_recipe():
    assert "time_budget: should match pattern" in fault({**SMALL, "time_budget": "90"})
    assert "'phases' says how long to train. Remove one" in fault(PHASED, "time_budget=10m")


def test_all_faults_are_told_at_once_with_their_paths():
    bad = {
        "sede": 3,
        "data": {
            **DATA,
            "batch_size": 0,
            "input": {"kind": "image", "augment": [{"kind": "flap"}]},
        },
        "backbone": {"kind": "keras_application", "name": "VGG-16", "wights": None},
        "phases": [
            {"name": "a b", "epochs": 1, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "top"}}
        ],
        "monitor": 1,
    }

    message = fault(bad)

    assert message.startswith("config: 8 settings are wrong. Correct:\n")
    for line in (
        "sede: unknown key. Did you mean 'seed'? (got 3)",
        "data.batch_size: should be greater than 0 (got 0)",
        "data.input.augment[0]: no augmentation kind 'flap'. Did you mean 'flip'?",
        "backbone.name: keras.applications has no 'VGG-16'. Did you mean 'VGG16'? (got \"VGG-16\")",
        "backbone.wights: unknown key. Did you mean 'weights'? (got null)",
        "phases[0].name: should match pattern '^[\\w.-]+$' (got \"a b\")",
        "phases[0].unfreeze: needs either 'stages' or 'fraction'",
        "monitor: should be a valid string (got 1)",
    ):
        assert f"\n  {line}\n" in message


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "data: is missing"),
        ({"data": 5}, "data: should be an object (got 5)"),
        ({"data": "digits"}, 'data: should be an object, such as {"kind": "digits"}'),
        ({"data": {"path": "x"}}, "data: has no 'kind'. Known: DATA_KINDS"),
        ({"data": {"kind": None}}, "data: has no 'kind'"),
        ({"data": {"kind": 3}}, "data: has a 'kind' that is 3. Known: DATA_KINDS"),
        ({"data": {"kind": ["folder"]}}, "data: has a 'kind' that is ['folder']"),
        ({"data": {"kind": "{folder}"}}, "data: no data kind '{folder}'. Did you mean 'folder'?"),
        ({"data": {"kind": "zzz"}}, "data: no data kind 'zzz'. Known: DATA_KINDS"),
        ({"data": {"kind": "no.where:Here"}}, "data: cannot import 'no.where:Here': No module"),
        ({"data": {"kind": "json:Nothing"}}, "data: cannot import 'json:Nothing': module 'json' h"),
        ({"data": {"kind": ":"}}, "data: cannot import ':': Empty module name"),
        ({"data": {"kind": "json:dumps"}}, "data: 'json:dumps' is not a data component"),
        ({"data": {"kind": "kft.head:Head"}}, "data: 'kft.head:Head' is not a data component"),
        ({"phases": []}, "phases: should have at least 1 item, not 0"),
        ({"phases": {}}, "phases: should be a list (got {})"),
        ({"phases": [7]}, "phases[0]: should be an object (got 7)"),
        ({"exporters": {"kind": "saved_model"}}, 'exporters: should be a list (got {"kind": "sav'),
        ({"class_weights": {"cat": -1}}, "class_weights.cat: should be greater than 0 (got -1)"),
        ({"class_weights": "even"}, "class_weights: should be 'balanced' (got \"even\")"),
        ({"seed": 2**32}, "seed: should be less than 4294967296 (got 4294967296)"),
        ({"seed": float("nan")}, "seed: should be a finite number"),
        ({"exporters": [{"kind": "saved_model", "x": 1}]}, "exporters[0].x: unknown key (got 1)"),
        ({"callbacks": [{"kind": "abc"}]}, "callbacks[0].kind: should match pattern"),
        ({"output_dir": "x" * 99, "seed": "y" * 99}, f'(got "{"y" * 59}…)'),
    ],
)
def test_a_fault_is_told_in_the_words_of_json(settings, line):
    message = fault(settings)

    assert line.replace("DATA_KINDS", ", ".join(sorted(CATALOG["data"]))) in message
    assert "tuple" not in message
    assert "pydantic" not in message


def test_phases_of_one_name_are_refused():
    phases = [
        {"name": "a", "epochs": 1, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "none"}}
    ]

    assert "phases: two are named 'a'. Rename one" in fault({**SMALL, "phases": phases * 2})


def test_exporters_that_write_at_one_place_are_refused():
    twice = [{"kind": "saved_model"}] * 2

    told = fault({**SMALL, "exporters": twice})

    assert "exporters: two write export/saved_model. Leave one out" in told


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (True, "phases[0].carry_optimizer: there is no phase before it and 'adam' in it"),
        (False, "phases[1].carry_optimizer: there is 'adam' before it and 'sgd' in it"),
    ],
)
def test_an_optimizer_that_has_nothing_to_carry_on_is_refused(first, message):
    head = {"name": "a", "epochs": 1, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "none"}}
    tune = {**head, "name": "b", "optimizer": {"kind": "sgd"}, "carry_optimizer": True}

    phases = [{**head, "carry_optimizer": first}, tune]

    assert message in fault({**SMALL, "phases": phases})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"seed": 1,\n "data": }', r"is not JSON: Expecting value: line 2 column 10"),
        ("[1]", "holds list, not an object"),
        ('{"seed": 1, "data": {"kind": "a", "kind": "b"}}', "an object has the key 'kind' twice"),
        ("", "is not JSON: Expecting value: line 1 column 1"),
    ],
)
def test_a_file_that_holds_no_config_is_refused(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_file_with_the_mark_of_windows_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL), encoding="utf-8-sig")

    assert load_config(path).seed == 0


def test_a_config_that_is_not_there_is_told_with_those_that_come_with_kft(tmp_path):
    with pytest.raises(ConfigError, match=r"nope: cannot be read: No such file.*quickstart"):
        load_config("nope")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("seed=4", lambda config: config.seed == 4),
        ("phases.1.epochs=7", lambda config: config.phases[1].epochs == 7),
        ("phases[0].epochs=7", lambda config: config.phases[0].epochs == 7),
        ("phases.0.optimizer.learning_rate=1e-5", lambda c: c.phases[0].optimizer.learning_rate),
        ("data.input.size=[32, 48]", lambda config: config.data.input.size == (32, 48)),
        ("data.path=a=b", lambda config: config.data.path.endswith("/a=b")),
        ("head.dropout=0.3", lambda config: config.head.dropout == 0.3),
        ("exporters=[]", lambda config: config.exporters == ()),
        ("head.kind=classifier", lambda config: config.head.kind == "classifier"),
        ("class_weights.cats=2", lambda config: config.class_weights == {"cats": 2.0}),
        ("phases.0.early_stopping.patience=2", lambda c: c.phases[0].early_stopping.patience == 2),
        ("select=last", lambda config: config.select == "last"),
    ],
)
def test_an_override_sets_one_setting(override, found):
    assert found(load_config(PHASED, [override]))


def test_an_override_of_a_phase_leaves_the_others():
    before, after = (load_config(PHASED, changes).phases for changes in ([], ["phases.0.epochs=9"]))

    assert after == (before[0].model_copy(update={"epochs": 9}), before[1])


def test_a_phase_that_is_left_out_cannot_be_overridden():
    message = "--set phases.0.epochs=1: there is no list yet to take '0' of. Write it in the config"

    assert message in fault(SMALL, "phases.0.epochs=1")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: has no '='. Write it as a.b=value"),
        ("=4", "--set =4: has no '='"),
        (
            "seed=many",
            'seed: should be a valid integer, unable to parse string as an integer (got "',
        ),
        ("phases.2.epochs=1", "--set phases.2.epochs=1: '2' is no entry of a list of 2"),
        ("phases.first.epochs=1", "'first' is no entry of a list of 2. Give its number"),
        ("phases.-1.epochs=1", "'-1' is no entry of a list of 2"),
        ("data.path.more=1", "--set data.path.more=1: 'path' is 'photos', not an object"),
        ("phases.0.epoch=1", "phases[0].epoch: unknown key. Did you mean 'epochs'?"),
        ("data.input.size=32", "data.input.size: should be a list (got 32)"),
    ],
)
def test_a_wrong_override_is_told(override, message):
    assert message in fault(PHASED, override)


def test_overriding_changes_nothing_the_caller_holds():
    settings = json.loads(json.dumps(SMALL))

    load_config(settings, ["data.batch_size=9"])

    assert settings == SMALL


def test_an_object_of_the_caller_is_taken_as_it_is_with_overrides_beside_it():
    data = Folder(path="photos", input={"kind": "image"})

    config = load_config({"data": data, "backbone": BACKBONE}, ["seed=2"])

    assert config.data is data


def test_a_fault_is_told_once_where_two_types_are_taken():
    told = fault({**SMALL, "class_weights": {"cat": 0}})

    assert told.count("class_weights") == 1


def test_a_class_of_the_user_needs_trust_and_its_module_is_not_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text("raise RuntimeError('it ran')", encoding="utf-8")

    message = fault({**SMALL, "head": {"kind": "mine:Head"}}, trust=("others",))

    assert "head: 'mine:Head' would run code of the package 'mine'" in message
    assert "add --trust mine" in message


def test_a_trusted_class_of_the_user_is_used():
    config = load_config({**SMALL, "backbone": {"kind": "tiny:TinyDense"}}, trust=("tiny",))

    assert config.backbone.kind == "tiny:TinyDense"
    assert type(config.backbone).__name__ == "TinyDense"


def test_the_kinds_that_a_message_names_are_those_of_the_catalog():
    message = fault({**SMALL, "backbone": {}})

    assert f"Known: {', '.join(sorted(CATALOG['backbone']))}" in message


def test_many_faults_are_counted_and_the_first_are_told():
    message = fault({**SMALL, "class_weights": {f"class {number}": -1 for number in range(60_000)}})

    assert " or more settings are wrong" in message
    assert len(message.splitlines()) < 30


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"data": {"kind": "folder", "path": "a/" + "b" * 256}}, "data.path: is a path of "),
        ({"output_dir": "a/" * 3000}, "output_dir: is a path of 6000 characters"),
        ({"output_dir": "a\0b"}, "output_dir: holds the character NUL"),
        ({"output_dir": "a\ud800"}, "output_dir: holds half a character, '\\ud800'"),
        ({"distribute": {"strategy": []}}, "distribute.strategy: should be 'auto', 'none'"),
        ({"distribute": {"devices": ["CPU:0"] * 9000}}, "distribute: names 'CPU:0' twice"),
        ({"data": {"kind": ".x:Y"}}, "data: cannot import '.x:Y'"),
        ({"data": {"kind": "folder", "path": "a", "batch_size": 10**12}}, "equal to 1000000 (got"),
        ({"cache_views": 1001}, "cache_views: should be less than or equal to 1000"),
        ({"phases": [HEAD_PHASE] * 1001}, "phases: should have at most 1000 items"),
        ({"phases": [HEAD_PHASE | {"epochs": 2 * 10**9}]}, "phases[0].epochs: should be less than"),
    ],
)
def test_a_setting_beyond_all_use_is_refused(settings, line):
    assert line in fault({**SMALL, **settings})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("phases.².epochs=1", "'²' is no entry of a list of 2"),
        ("phases." + "9" * 5000 + ".epochs=1", "is no entry of a list of 2"),
        ("output_dir=a\0b", "--set: holds the character NUL"),
        ("output_dir=a\udcff", "--set: holds half a character, '\\udcff'"),
        ('data={"kind": "folder", "kind": "b"}', "--set data: an object has the key 'kind' twice"),
        ("data=" + "[" * 3000, "--set data: is nested more than 32 deep"),
        (".".join("a" * 3000) + "=1", "is nested more than 32 deep"),
    ],
)
def test_an_odd_override_is_refused(override, message):
    assert message in fault(PHASED, override)


def test_an_override_reaches_into_a_null_of_a_list():
    assert "epochs" in fault({**SMALL, "phases": [None]}, "phases.0.epoch=1")


def test_a_config_is_read_from_a_file_of_a_size_that_people_write(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**40)

    with pytest.raises(ConfigError, match="cannot be read: Is a pipe, no file"):
        load_config(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"cannot be read: Has 1.1 TB, expected up to 16.8 MB"):
        load_config(tmp_path / "large")
    with pytest.raises(ConfigError, match="cannot be read: Is a device"):
        load_config("/dev/zero")
