"""What every exporter promises. A new kind joins by one line in EXPORTERS."""

import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hub_modules import save_words
from tiny import Ramp, Texts, TinyDense, TinyWords

from kft.backbone import Backbone, layer_stages
from kft.backbones.tf_hub import TfHub
from kft.cache.decode import read
from kft.data import Target
from kft.errors import ExportError
from kft.exporter import PARTIAL
from kft.exporters.saved_model import SavedModelExporter
from kft.heads.classifier import Classifier
from kft.heads.regressor import Regressor
from kft.image.digits import Digits
from kft.scoring.evaluate import evaluate
from kft.task import assemble

EXPORTERS = [SavedModelExporter()]
EXPORTER = pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda made: made.kind)


class Pixels(TinyDense):
    """Takes pictures: their mean colour goes through the tiny backbone."""

    def load(self, input_spec, pretrained=True):
        inner = super().load(tf.TensorSpec((3,), tf.float32))
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")(
            keras.layers.Rescaling(1 / 255)(inputs)
        )
        model = keras.Model(inputs, inner.model(pooled))
        return replace(inner, model=model)


class LookedUp(TinyWords):
    """Finds words in a table."""

    def load(self, input_spec, pretrained=True):
        inputs = keras.Input(input_spec.shape, dtype="string")
        numbers = keras.layers.StringLookup(vocabulary=["low", "middle"])(inputs)
        model = keras.Model(inputs, keras.layers.Embedding(9, 6, name="words")(numbers))
        return Backbone("listed", model, layer_stages(model), self.batch_norm)


class ModuleOfWords(TinyWords):
    """A SavedModel with a table inside."""

    def load(self, input_spec, pretrained=True):
        handle = save_words(Path(tempfile.mkdtemp()))
        return TfHub(handle=handle, output="default").load(input_spec)


class Prices(Ramp):
    """Two values far from 0, of scales far apart."""

    def load(self, seed):
        found = super().load(seed)
        parts = {
            name: replace(split, labels=(split.labels[:, None] * [1e6, 1e-3]).astype("float32"))
            for name, split in found.by_name().items()
        }
        target = Target.of_values(("price", "weight"), parts["train"].labels)
        return replace(found, **parts, target=target)


DATA = {
    "vectors": (Ramp(), TinyDense(), Classifier()),
    "strings": (Texts(), TinyWords(), Classifier()),
    "tables": (Texts(), LookedUp(), Classifier()),
    "modules": (Texts(), ModuleOfWords(), Classifier()),
    "pictures": (Digits(input={"kind": "image", "size": [16, 16]}), Pixels(), Classifier()),
    "values": (Prices(), TinyDense(), Regressor()),
}


@pytest.fixture(scope="module", params=DATA, ids=str)
def asked(request):
    """A task with what it answers to its test split."""
    source, backbone, head = DATA[request.param]
    keras.utils.set_random_seed(0)
    found = source.load(0)
    found = replace(found, train=found.train.take(range(6)), test=found.test.take(range(9)))
    reading = read(found, "stop")
    task = assemble(backbone.load(found.input.spec), head, found.target, found.input)
    return task, evaluate(task, reading.raw.test, reading.decoded.test, "test")


@EXPORTER
def test_a_clean_process_gets_the_answers_of_the_run(exporter, asked, tmp_path):
    task, answers = asked

    path, difference = exporter.export(task, answers, tmp_path)

    assert path == tmp_path / exporter.output
    assert difference <= 1e-5
    assert [left.name for left in tmp_path.iterdir()] == [exporter.output]


@EXPORTER
@pytest.mark.parametrize("asked", ["vectors", "values"], indirect=True)
def test_what_answers_otherwise_than_the_run_is_an_error_and_is_not_left(exporter, asked, tmp_path):
    task, answers = asked
    largest = abs(answers.outputs).max(axis=0) if task.target.kind == "value" else 1
    wrong = replace(answers, outputs=answers.outputs + 1e-3 * largest)

    with pytest.raises(ExportError, match="differ from the run's own by up to 0.001"):
        exporter.export(task, wrong, tmp_path)

    assert not list(tmp_path.iterdir())


@EXPORTER
@pytest.mark.parametrize("asked", ["vectors"], indirect=True)
def test_nothing_is_overwritten_unless_it_is_to_be_replaced(exporter, asked, tmp_path):
    task, answers = asked
    (tmp_path / exporter.output).mkdir()
    (tmp_path / exporter.output / "mine").touch()

    with pytest.raises(ExportError, match="is there already.*--to"):
        exporter.export(task, answers, tmp_path)
    assert (tmp_path / exporter.output / "mine").exists()
    exporter.export(task, answers, tmp_path, replace=True)

    assert not (tmp_path / exporter.output / "mine").exists()


@EXPORTER
@pytest.mark.parametrize("asked", ["vectors"], indirect=True)
def test_a_model_that_cannot_be_loaded_is_an_error(exporter, asked, tmp_path):
    task, answers = asked
    path = tmp_path / exporter.output
    path.mkdir()

    with pytest.raises(ExportError, match="a clean process cannot load and call it"):
        exporter.verify(path, task, answers)


@EXPORTER
@pytest.mark.parametrize("asked", ["vectors"], indirect=True)
def test_an_export_that_was_killed_is_not_in_the_way_of_the_next(exporter, asked, tmp_path):
    task, answers = asked
    half = tmp_path / PARTIAL.format(output=exporter.output) / exporter.output
    half.mkdir(parents=True)
    (half / "half").touch()

    path, _ = exporter.export(task, answers, tmp_path)

    assert not (path / "half").exists()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("asked", ["vectors", "pictures", "modules"], indirect=True)
def test_a_saved_model_holds_every_weight_once(asked, tmp_path):
    task, answers = asked

    path, _ = SavedModelExporter().export(task, answers, tmp_path)

    written = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    names = [name for name in written.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    used = [v for v in task.model.variables if "seed" not in v.path]
    assert len(names) == len(used)


def test_a_saved_model_answers_with_labels_best_first_and_carries_them_as_text(tmp_path):
    found = Ramp().load(0)
    task = assemble(TinyDense().load(found.input.spec), Classifier(), found.target, found.input)

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
    found = replace(Ramp().load(0), target=Target("class", names))
    task = assemble(TinyDense().load(found.input.spec), Classifier(), found.target, found.input)

    path = SavedModelExporter().export(task, tmp_path)

    assert (path / "assets" / "labels.txt").read_bytes() == "a b\nc \nd\u200b猫\n".encode()


def test_pictures_are_served_from_bytes_floats_and_integers_with_the_same_answer(tmp_path):
    source, backbone, _ = DATA["pictures"]
    found = source.load(0)
    task = assemble(backbone.load(found.input.spec), Classifier(), found.target, found.input)
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
