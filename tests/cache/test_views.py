import numpy as np
import tensorflow as tf
from tiny import TARGET, Shaken, vector_split

from kft.cache.views import View, views_of
from kft.pipeline.batches import Order, training_batches


def test_examples_that_are_not_augmented_have_one_view():
    views = views_of(None, 0, 3, range(5))

    assert views.variants == (View(),)
    assert views.order == (0,)


def test_augmented_examples_have_none_unless_some_are_asked_for():
    assert views_of(Shaken(), 0, 0, range(5)) is None


def test_a_view_is_what_its_epoch_would_see():
    split, input = vector_split(6), Shaken()
    views = views_of(input, 3, 2, range(2))
    inputs = tf.stack([split.fetch(index) for index in range(6)])

    seen = [view.vary(tf.range(6, dtype=tf.int64), inputs).numpy() for view in views.variants]

    batches = training_batches(split, TARGET, Order(3, 0, 2, 6), input.augment)
    for view, (batch, *_) in zip(seen, batches, strict=True):
        np.testing.assert_allclose(np.sort(view, axis=0), np.sort(batch, axis=0), atol=1e-6)


def test_epochs_take_the_views_in_turn_and_only_those_they_need():
    later = views_of(Shaken(), 0, 5, range(4, 6))

    assert [view.settings["epoch"] for view in later.variants] == [0, 4]
    assert [later.order[epoch % 5] for epoch in (4, 5)] == [1, 0]


def test_a_view_depends_on_the_settings_the_seed_and_the_epoch():
    settings = [
        views_of(input, seed, 3, range(epochs)).variants[-1].settings
        for input, seed, epochs in [
            (Shaken(), 0, 1),
            (Shaken(strength=2.0), 0, 1),
            (Shaken(), 1, 1),
            (Shaken(), 0, 2),
        ]
    ]

    assert all(settings[0] != other for other in settings[1:])
