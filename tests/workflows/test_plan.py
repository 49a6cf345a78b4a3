"""What a plan says of the features that a run would keep."""

import keras
import pytest
import tensorflow as tf
from tiny import Vectors

from kft.backbone import Backbone, BackboneSource
from kft.cache import inference as passes
from kft.cache import store
from kft.config.run_config import load_config
from kft.errors import ConfigError
from kft.phase import Phase
from kft.workflows.plan import learning_rates, plan

PHASES = [
    {"name": "head", "epochs": 3, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "none"}},
    {
        "name": "top",
        "epochs": 2,
        "optimizer": {"kind": "sgd"},
        "unfreeze": {"kind": "top", "stages": 1},
    },
    {"name": "all", "epochs": 1, "optimizer": {"kind": "sgd"}, "unfreeze": {"kind": "all"}},
]
AUGMENTED = {"kind": "tiny:Ramp", "input": {"kind": "tiny:Shaken"}}
FROM_FIRST = "computed anew: the backbone trains from its first layer on"
SMALL = {"data": {"kind": "tiny:Ramp"}, "backbone": {"kind": "tiny:TinyDense"}}


def planned(tmp_path, **settings):
    config = {
        "output_dir": str(tmp_path / "run"),
        "data": {"kind": "tiny:Ramp"},
        "backbone": {"kind": "tiny:TinyDense"},
        "phases": PHASES,
        **settings,
    }
    return [phase.features for phase in plan(load_config(config)).phases]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {},
            [
                "computed once: 528 bytes in memory, and on disk for the next run",
                "computed once, up to the first layer that trains: 1.1 kB in memory, and on disk "
                "for the next run",
                FROM_FIRST,
            ],
        ),
        (
            {"cache": "disk", "cache_dtype": "float16"},
            [
                "computed once: 264 bytes on disk",
                "computed once, up to the first layer that trains: 528 bytes on disk",
                FROM_FIRST,
            ],
        ),
        ({"cache": "off"}, ["computed anew: cache is off"] * 2 + [FROM_FIRST]),
        (
            {"data": AUGMENTED},
            [
                "computed anew: the examples are augmented, and cache_views is 0; those of "
                "validation once"
            ]
            * 2
            + [FROM_FIRST],
        ),
        (
            {"data": AUGMENTED, "cache": "memory", "cache_views": 4},
            [
                "computed once for each of 3 views of an example: 1.6 kB in memory",
                "computed once for each of 2 views of an example, up to the first layer that "
                "trains: 2.1 kB in memory",
                FROM_FIRST,
            ],
        ),
        ({"data": AUGMENTED, "cache": "off"}, ["computed anew: cache is off"] * 2 + [FROM_FIRST]),
        (
            {
                "data": AUGMENTED,
                "cache": "memory",
                "phases": [{**PHASES[0], "augment": False}, PHASES[1]],
            },
            [
                "computed once: 528 bytes in memory",
                "computed anew: the examples are augmented, and cache_views is 0; those of "
                "validation once",
            ],
        ),
        (
            {
                "data": {"kind": "tiny:Ramp", "input": {"kind": "tiny:Varied"}},
                "cache": "memory",
                "cache_views": 4,
                "phases": [PHASES[0], {**PHASES[1], "augment": True}],
            },
            [
                "computed once: 528 bytes in memory",
                "computed once for each of 2 views of an example, up to the first layer that "
                "trains: 2.1 kB in memory",
            ],
        ),
    ],
    ids=[
        "auto",
        "disk, half",
        "off",
        "augmented",
        "views",
        "augmented, off",
        "augmented but for a phase",
        "views of a phase",
    ],
)
def test_a_plan_says_of_each_phase_where_features_are_kept_or_why_not(tmp_path, settings, expected):
    assert planned(tmp_path, **settings) == expected


def test_a_plan_knows_what_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "memory_budget", lambda: 600)
    monkeypatch.setattr(store, "room", lambda: 1000)

    head, top, _ = planned(tmp_path)

    assert head == "computed once: 528 bytes in memory, and on disk for the next run"
    assert top == (
        "computed anew: 1.1 kB are more than the 600 bytes of memory that they may have and the "
        "1.0 kB of disk"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"monitor": "acuracy"}, "monitor: there is no metric 'acuracy'. Did you mean 'accuracy'"),
        ({"select": "interpolate", "phases": PHASES[:1]}, "select: is 'interpolate', but no phase"),
        ({"class_weights": {"hihg": 2}}, "class_weights: .* 'hihg'"),
        ({"callbacks": [{"kind": "keras.callbacks:EarlyStop"}]}, "EarlyStop': cannot be made"),
        (
            {"phases": [PHASES[0], {**PHASES[1], "augment": True}]},
            r"phases\[1\].augment: the input 'tiny:Vectors' takes no augmentations from a phase",
        ),
        (
            {"callbacks": [{"kind": "keras.callbacks:ReduceLROnPlateau"}]},
            "changes what the phases of a run decide",
        ),
    ],
    ids=["monitor", "select", "class weights", "callback", "augment", "callback that decides"],
)
def test_a_plan_refuses_what_a_run_would_refuse(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        planned(tmp_path, **settings)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_plan_knows_that_half_the_bits_take_half_the_room(tmp_path, precision):
    head, *_ = planned(tmp_path, precision=precision)

    assert head == "computed once: 264 bytes in memory, and on disk for the next run"


def test_a_head_that_is_trained_alone_after_the_backbone_under_it_is_noted(tmp_path):
    config = {"data": {"kind": "tiny:Ramp"}, "backbone": {"kind": "tiny:TinyDense"}}
    head, _, everything = PHASES
    notes = [
        plan(load_config({**config, "phases": phases})).notes
        for phases in ([head, everything], [everything], [everything, head])
    ]

    assert notes[:2] == [(), ()]
    assert notes[2] == (
        "phase 'all' trains the backbone under a head that knows nothing yet, and 'head', after "
        "it, the head alone: look whether that is the order you want",
    )


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        (
            {"phases": [{**PHASES[0], "layer_decay": 0.9}]},
            "phase 'head' trains the head alone, so layer_decay changes nothing in it",
        ),
        (
            {"phases": [{**PHASES[0], "l2_sp": 0.1}]},
            "phase 'head' trains the head alone, so l2_sp changes nothing in it",
        ),
        (
            {"phases": [{**PHASES[2], "epochs": 2, "mix_off_epochs": 1}]},
            "phase 'all' has neither mixup nor cutmix for mix_off_epochs to end",
        ),
        ({"cache_views": 2}, "the examples are not augmented, so cache_views changes nothing"),
        (
            {"phases": [{**PHASES[2], "mixup": 0.2}], "cache_views": 2, "data": AUGMENTED},
            "every phase that augments also mixes its examples, so cache_views changes nothing",
        ),
        (
            {"phases": [{**PHASES[0], "augment": False}], "data": AUGMENTED},
            "each phase has an augment of its own, so that of data.input changes nothing",
        ),
        ({"phases": [{**PHASES[0], "augment": True}, PHASES[2]], "data": AUGMENTED}, None),
        (
            {"cache": "off", "cache_views": 2, "data": AUGMENTED},
            "cache is off, so cache_views changes nothing",
        ),
        (
            {"cache": "off", "cache_dtype": "float16"},
            "cache is off, so cache_dtype changes nothing",
        ),
        (
            {"phases": [{**PHASES[0], "rate_factors": {"head": 2, "top": 0.5}}]},
            "phase 'head' trains none of what rate_factors['top'] matches",
        ),
        (
            {"phases": [{**PHASES[0], "epochs": 3, "early_stopping": {"patience": 2}}]},
            "phase 'head' is over before the patience of its early_stopping, 2, runs out",
        ),
        (
            {"phases": [{**PHASES[0], "epochs": 2, "schedule": {"kind": "plateau"}}]},
            "phase 'head' is over before the patience of its schedule, 2, runs out",
        ),
        (
            {
                "phases": [PHASES[0]],
                "backbone": {"kind": "tiny:TinyDense", "batch_norm": "train"},
            },
            "no phase trains the backbone, so batch_norm 'train' changes nothing",
        ),
        (
            {
                "phases": [{**PHASES[0], "epochs": 4, "early_stopping": {"patience": 2}}],
                "cache_views": 2,
                "data": AUGMENTED,
            },
            None,
        ),
    ],
)
def test_settings_that_change_nothing_are_noted(settings, note):
    config = {"data": {"kind": "tiny:Ramp"}, "backbone": {"kind": "tiny:TinyDense"}, **settings}

    assert plan(load_config(config)).notes == (() if note is None else (note,))


def test_the_rates_of_as_many_epochs_as_a_phase_may_have_are_planned_at_once():
    phase = Phase(**{**PHASES[2], "epochs": 100_000, "schedule": {"kind": "cosine"}})

    rates = learning_rates(phase, 7)

    assert len(rates) == 100_001
    assert rates[1] == pytest.approx(phase.optimizer.learning_rate)
    assert rates[-1] == pytest.approx(0, abs=1e-8)


class Varying(Vectors):
    """Any number of vectors."""

    @property
    def spec(self):
        return tf.TensorSpec((None, 8), tf.float32)


class Mean(BackboneSource):
    """The mean of any number of vectors."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape)
        model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(inputs))
        return Backbone("mean", model, (), self.batch_norm)


def test_an_input_whose_shape_may_vary_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data.input: gives examples of the shape \(None, 8\)"):
        planned(
            tmp_path,
            data={"kind": "tiny:Ramp", "input": {"kind": f"{__name__}:Varying"}},
            backbone={"kind": f"{__name__}:Mean"},
            phases=PHASES[:1],
        )


def test_features_of_booleans_are_kept(tmp_path):
    lines = planned(tmp_path, data={"kind": "tiny:Signs"}, backbone={"kind": "tiny:TinyFlags"})

    assert "not known" not in "".join(lines)


def test_phases_that_are_left_out_are_explained():
    made = plan(load_config({**SMALL, "folds": 3, "time_budget": "10m"}))

    assert [phase.name for phase in made.phases] == ["head", "finetune"]
    why, budget, refit, folds = made.recipe
    assert why.startswith("phases are left out: effort 'normal' and 22 training examples make 73")
    assert "10m" in budget
    assert "once more, on training and validation examples" in refit
    assert "3 more times" in folds


def test_the_phases_are_there_as_a_config_has_them():
    made = plan(load_config(SMALL))

    again = plan(load_config({**SMALL, "phases": made.settings}))

    assert again.settings == made.settings
    assert again.recipe == ()
