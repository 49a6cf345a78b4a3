import json

import numpy as np
import pytest
import tensorflow as tf
from tiny import TinyDense

from kft.config.run_config import RunConfig, load_config
from kft.data import DataSource, Target
from kft.errors import DataError
from kft.image.input import ImageInput
from kft.phase import Phase
from kft.recipe.optimizer import Adam
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeNone
from kft.settings.component import find_component
from kft.sources.arrays.dataset import from_datasets
from kft.sources.arrays.tensors import Tensors
from kft.workflows.predict import predict
from kft.workflows.rerun import open_run
from kft.workflows.run import run

NAMES = ("dark", "bright")
INPUT = ImageInput(size=(8, 8))


def encoded(size, first=0):
    """PNGs of 8x8 pixels, each of one grey level, half of them dark."""
    greys = tf.constant([(first + number) % 2 * 200 + number for number in range(size)], tf.uint8)
    pairs = tf.data.Dataset.from_tensor_slices((greys, [(first + i) % 2 for i in range(size)]))
    return pairs.map(lambda grey, label: (tf.io.encode_png(tf.fill([8, 8, 3], grey)), label))


def test_the_splits_hold_what_the_datasets_give_in_their_order():
    source = from_datasets(encoded(6), encoded(3), encoded(2), NAMES, INPUT)

    splits = source.load(seed=0)

    assert [split.size for split in splits.by_name().values()] == [6, 3, 2]
    assert splits.target.names == NAMES
    assert splits.train.names[5] == "train/5"
    np.testing.assert_array_equal(splits.validation.labels, np.array([0, 1, 0], "int32"))
    pixels = splits.input.decode(splits.train.fetch(tf.constant(3, tf.int64)))
    assert np.unique(pixels.numpy()).tolist() == [203]


def test_examples_are_fetched_inside_a_dataset_too():
    split = from_datasets(encoded(6), encoded(3), None, NAMES, INPUT).load(0).train

    fetched = tf.data.Dataset.from_tensor_slices(tf.constant([4, 0], tf.int64)).map(split.fetch)

    eager = [split.fetch(tf.constant(index, tf.int64)).numpy() for index in (4, 0)]
    assert list(fetched.as_numpy_iterator()) == eager


def test_arrays_are_held_as_they_are():
    rows = np.arange(12, dtype="float32").reshape(4, 3)
    vectors = tf.data.Dataset.from_tensor_slices((rows, np.array([0, 1, 0, 1])))
    source = from_datasets(vectors, vectors, None, NAMES)

    splits = source.load(0)

    raw = splits.train.fetch(tf.constant(2, tf.int64))
    assert splits.input == Tensors(shape=(3,), dtype="float32")
    np.testing.assert_array_equal(splits.input.decode(raw), rows[2])


@pytest.mark.parametrize("dtype", ["uint8", "float64", "string", "bool"])
def test_examples_of_any_dtype_are_taken_as_they_are(dtype):
    rows = tf.cast([[0, 1], [1, 0]], "int64")
    rows = tf.strings.as_string(rows) if dtype == "string" else tf.cast(rows, dtype)
    pairs = tf.data.Dataset.from_tensor_slices((rows, [0, 1]))

    splits = from_datasets(pairs, pairs, None, NAMES).load(0)

    assert splits.input.spec == tf.TensorSpec((2,), dtype)
    assert splits.train.fetch(tf.constant(1, tf.int64)).numpy().tolist() == rows[1].numpy().tolist()


def test_examples_without_a_fixed_shape_need_an_input_that_reads_them():
    pairs = encoded(4).map(lambda raw, label: (tf.io.decode_png(raw), label))

    with pytest.raises(DataError, match=r"shape \(None, None, None\), which is not fixed"):
        from_datasets(pairs, pairs, None, NAMES)


def test_settings_of_a_source_are_taken():
    source = from_datasets(encoded(4), encoded(4), None, NAMES, INPUT, batch_size=3)

    assert source.batch_size == 3


def test_no_test_dataset_makes_no_test_split():
    source = from_datasets(encoded(4), encoded(4), None, NAMES, INPUT)

    splits = source.load(0)

    assert splits.test is None


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (encoded(4).repeat(), "the train dataset: never ends"),
        (encoded(4).batch(2), r"dtype int32 and shape \(None,\).*unbatch\(\)"),
        (encoded(4).map(lambda raw, label: raw), r"Map them to \(raw, label\)"),
        (encoded(4).map(lambda raw, label: (raw, tf.one_hot(label, 2))), "instead of one-hot"),
        (encoded(4).map(lambda raw, label: (raw, label + 1)), "label 2, but there are 2 class"),
        (encoded(4).take(0), "the train dataset: holds no example"),
        (encoded(4).take(1), "the train dataset: has no example of 'bright'"),
        ([1, 2], "the train dataset: is a list"),
        (
            tf.data.Dataset.from_generator(
                lambda: ((np.zeros(size, "float32"), 0) for size in (2, 3)),
                output_signature=(tf.TensorSpec([None]), tf.TensorSpec([], tf.int32)),
            ),
            r"different shapes, such as \(2,\) and \(3,\)",
        ),
    ],
    ids=["endless", "batched", "no label", "one-hot", "label", "empty", "class", "list", "ragged"],
)
def test_a_dataset_that_does_not_fit_is_refused(dataset, message):
    source = from_datasets(dataset, dataset, None, NAMES, INPUT)

    with pytest.raises(DataError, match=message):
        source.load(0)


def rows_of(rows, dtype="float32"):
    """Vectors, each with a row of numbers for a label."""
    rows = np.asarray(rows, dtype)
    return tf.data.Dataset.from_tensor_slices((np.ones((len(rows), 3), "float32"), rows))


def test_labels_may_be_several_or_values():
    flags, prices = [[1, 0], [1, 1], [0, 0]], [[10.0], [30.0], [20.0]]

    several = from_datasets(
        *[rows_of(flags, "bool")] * 2, None, ("red", "round"), predicts="multilabel"
    ).load(0)
    values = from_datasets(*[rows_of(prices)] * 2, None, ("price",), predicts="value").load(0)

    assert several.target == Target("multilabel", ("red", "round"))
    assert several.train.labels.tolist() == flags
    assert values.target.means == (20.0,)
    assert values.train.labels.tolist() == prices
    assert values.train.labels.dtype == several.train.labels.dtype == np.float32


@pytest.mark.parametrize(
    ("rows", "predicts", "message"),
    [
        ([[1, 0, 1]], "multilabel", r"shape \(3,\), expected 2 numbers for each example"),
        ([[1, 2]], "multilabel", "has the label 2.0, expected 0 or 1"),
        ([[1, 0], [1, 0]], "multilabel", "has no example of 'b'"),
        ([[1, np.nan]], "value", "has the label nan, expected a number"),
    ],
)
def test_labels_of_another_kind_are_refused(rows, predicts, message):
    with pytest.raises(DataError, match=message):
        from_datasets(rows_of(rows), rows_of(rows), None, ("a", "b"), predicts=predicts).load(0)


def test_examples_of_another_kind_than_those_of_train_are_refused():
    other = encoded(4).map(lambda raw, label: (tf.io.decode_png(raw), label))
    source = from_datasets(encoded(4), encoded(4), other, NAMES, INPUT)

    with pytest.raises(DataError, match="the test dataset: has uint8 examples of shape .*string"):
        source.load(0)


@pytest.mark.parametrize("names", [("one",), ("same", "same")])
def test_class_names_that_tell_no_classes_apart_are_refused(names):
    source = from_datasets(encoded(4), encoded(4), None, names, INPUT)

    with pytest.raises(DataError, match="class_names: are .*expected two or more, all different"):
        source.load(0)


def test_class_names_of_more_than_one_line_are_refused():
    source = from_datasets(encoded(8), encoded(8), None, ("a", "b\n"), input=INPUT)

    with pytest.raises(DataError, match=r"class_names: hold 'b\\n', which has line breaks or char"):
        source.load(0)


def test_class_names_that_look_alike_are_noted():
    splits = from_datasets(encoded(8), encoded(8), None, ("a", "A"), input=INPUT).load(0)

    assert splits.notes == ("'a' and 'A' look alike: are they the same?",)


def test_a_config_that_is_read_back_has_the_settings_but_no_examples():
    source = from_datasets(encoded(4), encoded(4), None, NAMES, INPUT)

    again = DataSource.model_validate(source.model_dump(mode="json", serialize_as_any=True))

    assert type(again) is find_component("data", source.kind, trusted=())
    assert (again.class_names, again.input) == (NAMES, INPUT)
    with pytest.raises(DataError, match="in the memory of the program that trained"):
        again.load(0)


def vectors(size, seed):
    labels = np.arange(size) % 2
    rows = np.random.default_rng(seed).normal(labels[:, None] * 3, 0.7, (size, 8))
    return tf.data.Dataset.from_tensor_slices((rows.astype("float32"), labels))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    source = from_datasets(vectors(32, 0), vectors(12, 1), vectors(12, 2), NAMES, batch_size=4)
    head = Phase(name="head", epochs=8, optimizer=Adam(learning_rate=0.03), unfreeze=UnfreezeNone())
    everything = Phase(
        name="all", epochs=2, optimizer=Adam(learning_rate=0.003), unfreeze=UnfreezeAll()
    )
    directory = str(tmp_path_factory.mktemp("runs") / "vectors")
    phases = (head, everything)
    return run(RunConfig(output_dir=directory, data=source, backbone=TinyDense(), phases=phases))


def test_a_run_on_datasets_ends_with_a_verified_model(result):
    rows, labels = zip(*vectors(12, 2).as_numpy_iterator(), strict=True)

    answers = [prediction.answer for prediction in predict(result.directory, rows)]

    ((path, difference),) = result.exports.items()
    right = [
        NAMES[label].encode() == a["classes"][0] for label, a in zip(labels, answers, strict=True)
    ]
    assert (path / "saved_model.pb").is_file()
    assert difference <= 1e-5
    assert result.scores["test"]["accuracy"] == sum(right) / 12 >= 0.9


def test_a_run_on_datasets_can_be_opened_but_not_repeated_from_its_config(result):
    written = json.loads((result.directory / "config.json").read_text())

    config = load_config(result.directory / "config.json", trust=["tiny"])

    _, task = open_run(result.directory)
    rows = tf.stack([row for row, _ in vectors(12, 2)])
    scored = np.mean(task.model(rows).numpy().argmax(axis=1) == np.arange(12) % 2)
    assert "train" not in written["data"]
    assert scored == result.scores["test"]["accuracy"]
    with pytest.raises(DataError, match="Call from_datasets again"):
        run(config.model_copy(update={"output_dir": f"{result.directory}-again"}))


def test_pixels_are_pictures_of_an_image_input():
    pixels = np.full((4, 9, 7, 3), 200, "uint8")
    pairs = tf.data.Dataset.from_tensor_slices((pixels, [0, 1, 0, 1]))

    splits = from_datasets(pairs, pairs, None, NAMES, ImageInput(size=(8, 8))).load(0)

    read = splits.input.decode(splits.train.fetch(tf.constant(0, "int64")))
    assert np.unique(read).tolist() == [200]
