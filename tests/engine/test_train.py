"""The promises of the engine: phases train what they name, and nothing else moves."""

import keras
import numpy as np
import pytest
from shown import shown_lines
from tiny import (
    Noise,
    Ramp,
    Shaken,
    Tags,
    Texts,
    TinyWords,
    Varied,
    Vectors,
    assert_same_weights,
    phase,
    same,
    tiny_task,
    training,
    values,
    vector_split,
)

from kft.cache import inference as passes
from kft.cache.feature_cache import FeatureCache
from kft.cache.place import CachePolicy
from kft.engine.parts import part_of
from kft.engine.train import train
from kft.errors import ConfigError, TrainingError
from kft.heads.classifier import Classifier
from kft.heads.multilabel import Multilabel
from kft.recipe.optimizer import Adam, AdamW, Lion, RmsProp, Sgd
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeMatch, UnfreezeNone, UnfreezeTop
from kft.task import assemble


def test_a_head_phase_leaves_the_backbone_bit_identical(task, splits):
    before = values(task.backbone.model.variables)
    head = values(task.head_model.trainable_variables)

    train(training(task, splits), [phase()])

    assert all(same(task.backbone.model.variables, before))
    assert not any(same(task.head_model.trainable_variables, head))


def test_a_head_phase_with_augmentation_leaves_it_bit_identical_too(splits):
    splits = Ramp(input=Vectors(claims_to_augment=True)).load(0)
    task = tiny_task(splits)
    before = values(task.backbone.model.variables)

    (result,) = train(training(task, splits), [phase()])

    assert not result.features_kept
    assert all(same(task.backbone.model.variables, before))


@pytest.mark.parametrize("settings", [{}, {"mixup": 0.4, "mix_off_epochs": 1}])
def test_the_device_may_augment_with_the_same_result(settings):
    results = []
    for on_device in (False, True):
        splits = Ramp(input=Shaken()).load(0)
        task = tiny_task(splits)
        how = training(task, splits, augment_on_device=on_device)
        train(how, [phase(epochs=3, unfreeze=UnfreezeAll(), **settings)])
        results.append(values(task.model.variables))

    for on_cpu, on_device in zip(*results, strict=True):
        np.testing.assert_allclose(on_cpu, on_device, atol=1e-5)


def test_a_phase_changes_exactly_the_stages_it_names(task, splits):
    bottom, top = task.backbone.stages
    before_bottom, before_top = values(bottom.variables), values(top.variables)

    (result,) = train(training(task, splits), [phase(unfreeze=UnfreezeTop(stages=1))])

    assert all(same(bottom.variables, before_bottom))
    assert not any(same(top.variables, before_top))
    assert result.trained_stages == 1


def test_a_later_phase_sets_the_whole_state_whatever_came_before(task, splits):
    bottom, _ = task.backbone.stages
    phases = [phase("all", unfreeze=UnfreezeAll()), phase("top", unfreeze=UnfreezeTop(stages=1))]
    train(training(task, splits), phases[:1])
    before = values(bottom.variables)

    train(training(task, splits), phases[1:])

    assert all(same(bottom.variables, before))


def test_fine_tuning_everything_never_moves_batch_norm(task, splits):
    norm = task.backbone.model.get_layer("norm")
    before = values(norm.variables)

    train(training(task, splits), [phase(unfreeze=UnfreezeAll())])

    assert all(same(norm.variables, before))


def test_batch_norm_in_inference_trains_gamma_and_beta_but_not_the_statistics(splits):
    task = tiny_task(splits, batch_norm="inference")
    norm = task.backbone.model.get_layer("norm")
    before = values([norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance])

    train(training(task, splits), [phase(unfreeze=UnfreezeAll())])

    now = [norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance]
    assert same(now, before) == [False, False, True, True]


def train_kept_and_whole(optimizer, head):
    """Trains one task on kept features and one as a whole, and returns both results."""
    trained = []
    for claims in (False, True):
        splits = Ramp(input=Vectors(claims_to_augment=claims)).load(0)
        task = tiny_task(splits, head)
        how = training(task, splits, class_weights={"low": 2.0})
        (result,) = train(how, [phase(optimizer=optimizer, epochs=3)])
        trained.append((result, values(task.head_model.variables)))
    (kept, kept_weights), (whole, whole_weights) = trained
    assert (kept.features_kept, whole.features_kept) == (True, False)
    for a, b in zip(kept.epochs, whole.epochs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=1e-5)
    return kept_weights, whole_weights


@pytest.mark.parametrize(
    "optimizer",
    [
        Sgd(learning_rate=0.05, momentum=0.9, nesterov=True),
        Adam(learning_rate=0.01),
        AdamW(learning_rate=0.01, weight_decay=0.1),
        RmsProp(learning_rate=0.01),
        Lion(learning_rate=0.001),
    ],
    ids=lambda optimizer: optimizer.kind,
)
def test_kept_features_give_the_weights_that_the_whole_model_gives(optimizer):
    """With dropout in the head, class weights and an uneven last batch."""
    head = Classifier(hidden=(5,), activation="tanh", dropout=0.5, l2=1e-3)

    kept, whole = train_kept_and_whole(optimizer, head)

    for a, b in zip(kept, whole, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_kept_features_give_the_same_weights_with_batch_norm_in_the_head():
    """By SGD: over two examples batch norm has no gradient, and Adam would scale its rounding."""
    head = Classifier(hidden=(5,), batch_norm=True, dropout=0.5)

    kept, whole = train_kept_and_whole(Sgd(learning_rate=0.05, momentum=0.9), head)

    for a, b in zip(kept, whole, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("batch_norm", ["frozen", "inference"])
def test_kept_activations_give_the_weights_that_the_whole_model_gives(batch_norm):
    """The top is unfrozen, and a skip connection crosses the boundary."""
    trained = []
    for claims in (False, True):
        splits = Ramp(input=Vectors(claims_to_augment=claims)).load(0)
        task = tiny_task(splits, Classifier(dropout=0.5), batch_norm=batch_norm)
        phases = [phase("head"), phase("top", epochs=3, unfreeze=UnfreezeTop(stages=1))]
        results = train(training(task, splits), phases)
        trained.append((results[1], values(task.model.variables)))

    assert_same_weights(*trained)
    kept, whole = (result for result, _ in trained)
    assert kept.trained_parameters == whole.trained_parameters
    for a, b in zip(kept.epochs, whole.epochs, strict=True):
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=1e-5)


def test_features_on_disk_give_the_weights_that_no_cache_gives():
    """The top is unfrozen, and a skip connection crosses the boundary."""
    trained = []
    for mode in ("off", "disk"):
        splits = Ramp().load(0)
        task = tiny_task(splits, Classifier(dropout=0.5))
        how = training(task, splits, cache_policy=CachePolicy(mode))
        (result,) = train(how, [phase(unfreeze=UnfreezeTop(stages=1))])
        trained.append((result, values(task.model.variables)))

    (off, off_weights), (disk, disk_weights) = trained
    assert off.features == "computed anew: cache is off"
    assert disk.features == "computed once, up to the first layer that trains: 1.1 kB on disk"
    for a, b in zip(off_weights, disk_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_as_many_views_as_epochs_give_the_weights_that_fresh_augmentation_gives():
    trained = []
    for views in (0, 3):
        splits = Ramp(input=Shaken()).load(0)
        task = tiny_task(splits, Classifier(dropout=0.5))
        how = training(task, splits, cache_policy=CachePolicy("memory", views))
        (result,) = train(how, [phase(epochs=3)])
        trained.append((result, values(task.model.variables)))

    (fresh, fresh_weights), (kept, kept_weights) = trained
    assert (fresh.features_kept, kept.features_kept) == (False, True)
    assert "cache_views is 0" in fresh.features
    assert kept.features == "computed once for each of 3 views of an example: 1.6 kB in memory"
    for a, b in zip(fresh_weights, kept_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("views", [0, 2])
def test_a_phase_augments_alone_after_one_on_exact_features(views):
    noise = (Noise(strength=0.5),)
    trained = []
    for input, head, tune in [
        (Varied(), None, noise),
        (Varied(augmentations=noise), False, None),
        (Varied(), None, None),
    ]:
        splits = Ramp(input=input).load(0)
        task = tiny_task(splits)
        phases = [
            phase("head", augment=head),
            phase("tune", augment=tune, unfreeze=UnfreezeTop(stages=1)),
        ]
        results = train(training(task, splits, cache_policy=CachePolicy("memory", views)), phases)
        trained.append((results, values(task.model.variables)))

    ((head, tune), weights), (_, again), ((without, kept), others) = trained
    assert [each["loss"] for each in head.epochs] == [each["loss"] for each in without.epochs]
    assert (head.features_kept, tune.features_kept, kept.features_kept) == (True, views > 0, True)
    assert all(np.array_equal(a, b) for a, b in zip(weights, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights, others, strict=True))


def test_a_phase_computes_no_features_that_the_one_before_had(task, splits):
    phases = [phase(name, epochs=1, unfreeze=UnfreezeTop(stages=1)) for name in ("top", "on")]

    with shown_lines() as lines:
        train(training(task, splits), phases)

    computed = [line for line in lines if "features" in line]
    assert computed == ["Computing the features of validation", "Computing the features of train"]


def test_scores_from_kept_activations_are_those_of_the_whole_model(task, splits):
    """Two tensors cross the boundary, by the skip connection."""
    train(training(task, splits), [phase(epochs=1, unfreeze=UnfreezeTop(stages=1))])

    part = part_of(task, splits.test, "test", FeatureCache(CachePolicy("memory"), 0, "tiny"))

    assert len(part.model.inputs) == 2
    (found,) = passes.outputs_of(part.model, part.split, "Scoring")
    (whole,) = passes.outputs_of(task.model, splits.test, "Scoring")
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(splits):
    weights = []
    for seed in (3, 3, 4):
        task = tiny_task(splits, Classifier(dropout=0.0, label_smoothing=0.0))
        train(training(task, splits, seed=seed), [phase(unfreeze=UnfreezeAll())])
        weights.append(values(task.model.trainable_variables))

    assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


def test_the_best_weights_of_all_phases_come_back(task, splits):
    """Phase two does harm, by decay; what is restored is the best epoch of phase one."""
    phases = [
        phase("head", epochs=5, optimizer=Adam(learning_rate=0.05)),
        phase("harm", optimizer=AdamW(weight_decay=500), unfreeze=UnfreezeAll()),
    ]
    how = training(task, splits)
    head, harm = train(how, phases)
    assert harm.epochs[-1]["val_accuracy"] < head.best["val_accuracy"]

    how.best.restore_best_weights()

    task.model.compile(loss=task.head.loss(task.target), metrics=task.head.metrics())
    inputs = np.stack([splits.validation.fetch(i) for i in range(splits.validation.size)])
    labels = np.eye(3)[splits.validation.labels]
    scores = task.model.evaluate(inputs, labels, verbose=0, return_dict=True)
    assert how.best.record == head.best
    assert scores["accuracy"] == pytest.approx(head.best["val_accuracy"])
    assert scores["loss"] == pytest.approx(head.best["val_loss"], abs=1e-5)


class Tenfold(keras.losses.Loss):
    """Ten times the cross-entropy."""

    def call(self, y_true, y_pred):
        return 10 * keras.losses.categorical_crossentropy(y_true, y_pred)


class Louder(Classifier):
    """Trains with ten times the loss that it is scored by."""

    def training_loss(self, target, labels):
        assert np.bincount(labels).tolist() == [8, 7, 7]
        return Tenfold()


@pytest.mark.parametrize("unfreeze", [UnfreezeNone(), UnfreezeAll()], ids=["kept", "whole"])
@pytest.mark.parametrize("accumulate_steps", [1, 2])
def test_a_head_may_train_with_another_loss_than_it_is_scored_by(
    splits, unfreeze, accumulate_steps
):
    settings = {"unfreeze": unfreeze, "accumulate_steps": accumulate_steps, "epochs": 1}
    still = phase(optimizer=Sgd(learning_rate=1e-9), **settings)
    found = [
        train(training(tiny_task(splits, head), splits), [still])[0].best
        for head in (
            Classifier(dropout=0.0, label_smoothing=0.0),
            Louder(dropout=0.0, label_smoothing=0.0),
        )
    ]

    plain, louder = found
    assert louder["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-5)
    assert louder["loss"] == pytest.approx(10 * plain["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("source", "kind"), [(Ramp, Classifier), (Tags, Multilabel)], ids=["classifier", "multilabel"]
)
def test_labels_are_smoothed_in_training_alone(source, kind):
    splits = source().load(0)
    still = phase(epochs=1, optimizer=Sgd(learning_rate=1e-9))

    plain, smooth = (
        train(
            training(
                tiny_task(splits, kind(dropout=0.0, label_smoothing=share)), splits, monitor="loss"
            ),
            [still],
        )[0].best
        for share in (0.0, 0.2)
    )

    assert smooth["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-5)
    assert abs(smooth["loss"] - plain["loss"]) > 0.01


def test_a_loss_that_is_no_number_stops_at_its_step_and_keeps_the_best(task, splits):
    phases = [
        phase("head"),
        phase("wild", optimizer=Sgd(learning_rate=1e30), clip_norm=None, unfreeze=UnfreezeAll()),
    ]
    how = training(task, splits)

    with pytest.raises(TrainingError, match=r"phase 'wild', epoch 3, step \d.*loss is (nan|inf)"):
        train(how, phases)

    assert how.best.record["phase"] == "head"


@pytest.mark.parametrize(
    ("unfreeze", "message"),
    [
        (UnfreezeTop(stages=3), r"phases\[1\]\.unfreeze\.stages: got 3, .*'tiny' has 2 stages"),
        (UnfreezeMatch(pattern="block.*"), r"phases\[1\]\.unfreeze\.pattern: .* matches none"),
    ],
    ids=["too many", "no match"],
)
def test_a_phase_that_does_not_fit_is_refused_before_the_first_step(
    task, splits, unfreeze, message
):
    before = values(task.model.variables)

    with pytest.raises(ConfigError, match=message):
        train(training(task, splits), [phase("head"), phase("tune", unfreeze=unfreeze)])

    assert all(same(task.model.variables, before))


def test_an_unknown_monitor_is_refused_with_the_metrics_there_are(task, splits):
    with pytest.raises(ConfigError, match="no metric 'acuracy'. Did you mean 'accuracy'"):
        train(training(task, splits, monitor="acuracy"), [phase()])


def test_strings_go_through_the_unchanged_engine():
    splits = Texts().load(0)
    keras.utils.set_random_seed(0)
    backbone = TinyWords().load(splits.input.spec)
    task = assemble(
        backbone, Classifier(dropout=0.0, label_smoothing=0.0), splits.target, splits.input
    )
    phases = [
        phase("head", epochs=8, optimizer=Adam(learning_rate=0.1)),
        phase("tune", epochs=4, optimizer=Adam(learning_rate=0.1), unfreeze=UnfreezeAll()),
    ]

    head, tune = train(training(task, splits), phases)

    assert head.features_kept
    assert tune.epochs[-1]["val_accuracy"] == 1.0


def test_a_smaller_training_set_than_one_batch_trains(task, splits):
    from dataclasses import replace

    small = replace(splits, train=vector_split(3))

    (result,) = train(training(task, small), [phase(batch_size=64)])

    assert np.isfinite(result.epochs[-1]["loss"])


def test_features_that_do_not_fit_in_memory_are_computed_anew(task, splits, monkeypatch):
    monkeypatch.setattr(passes, "memory_budget", lambda: 9 * 6 * 4)

    (result,) = train(training(task, splits), [phase()])

    assert not result.features_kept
    assert result.features == (
        "computed anew: 528 bytes are more than the 216 bytes of memory that they may have"
    )
    assert len(result.epochs) == 2


def test_an_epoch_records_how_long_it_waited_for_input():
    splits = Ramp(input=Vectors(claims_to_augment=True)).load(0)

    (result,) = train(training(tiny_task(splits), splits), [phase(unfreeze=UnfreezeAll())])

    assert all(0 <= each["input_wait"] <= each["seconds"] for each in result.epochs)
    assert 0 < result.input_wait < 1


def test_features_that_are_kept_are_not_waited_for():
    splits = Ramp().load(0)

    (result,) = train(training(tiny_task(splits), splits), [phase()])

    assert result.input_wait is None
