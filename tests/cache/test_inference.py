import numpy as np
from tiny import Ramp, tiny_task, vector_split

from kft.cache.inference import PASS_SIZE, memory_budget, outputs_of


def test_features_do_not_depend_on_who_else_is_asked():
    split = vector_split(PASS_SIZE + 5)
    task = tiny_task(Ramp().load(0))
    backwards = list(reversed(range(split.size)))

    (whole,) = outputs_of(task.backbone.model, split, "Features")
    (turned,) = outputs_of(task.backbone.model, split.take(backwards), "Features")
    (one,) = outputs_of(task.backbone.model, split.take([7]), "Features")

    assert whole.shape == (split.size, 6)
    np.testing.assert_array_equal(whole[backwards], turned)
    np.testing.assert_array_equal(whole[7:8], one)


def test_the_memory_budget_is_a_part_of_what_is_free():
    assert 0 < memory_budget() < 2**50
