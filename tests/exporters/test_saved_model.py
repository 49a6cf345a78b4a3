"""What a SavedModel holds and answers; what every exporter promises is in tests/contracts."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from exported import task_of

from kft.data import Target
from kft.exporters.saved_model import SavedModelExporter


@pytest.mark.parametrize("data", ["vectors", "pictures", "modules"])
def test_every_weight_is_written_once(data, tmp_path):
    task, _ = task_of(data)
    path = tmp_path / "saved_model"

    SavedModelExporter().write(task, path)

    written = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    names = [name for name in written.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    used = [v for v in task.model.variables if "seed" not in v.path]
    assert len(names) == len(used)


def test_it_answers_with_labels_best_first_and_carries_them_as_text(tmp_path):
    task, found = task_of("vectors")

    path = tmp_path / "saved_model"
    SavedModelExporter().write(task, path)

    served = tf.saved_model.load(str(path))
    answer = served.signatures["serving_default"](vectors=tf.ones((2, 8)))
    probabilities = answer["probabilities"].numpy()
    order = np.argsort(-probabilities, axis=1)
    names = np.array(found.target.names, "S")[order]
    np.testing.assert_array_equal(answer["classes"].numpy().astype("S"), names)
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(probabilities, order, 1))
    assert (path / "assets" / "labels.txt").read_text().split() == list(found.target.names)


def test_labels_stand_one_a_line_as_they_are(tmp_path):
    names = ("a b", "c ", "d\u200b猫")
    task = replace(task_of("vectors")[0], target=Target("class", names))
    path = tmp_path / "saved_model"

    SavedModelExporter().write(task, path)

    assert (path / "assets" / "labels.txt").read_bytes() == "a b\nc \nd\u200b猫\n".encode()


def test_pictures_are_served_from_bytes_floats_and_integers_with_the_same_answer(tmp_path):
    task, found = task_of("pictures")
    encoded = found.train.fetch(tf.constant(0))
    pixels = tf.io.decode_png(encoded, channels=3)[tf.newaxis]

    path = tmp_path / "saved_model"
    SavedModelExporter().write(task, path)

    served = tf.saved_model.load(str(path)).signatures
    answers = [
        served["serving_default"](image_bytes=encoded[tf.newaxis]),
        served["serve_images"](images=tf.cast(pixels, tf.float32)),
        served["serve_images_uint8"](images=pixels),
    ]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer["probabilities"], answers[0]["probabilities"], atol=1e-6)
