import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydantic import ValidationError
from sklearn.datasets import load_sample_image

from kft.image.augment import Brightness, Flip, Rotate
from kft.image.decode import decode_image, decode_to_scale
from kft.image.input import ImageInput
from kft.image.resize import resize_images
from kft.input import Input


def pixels(height=50, width=70, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), "uint8")


def png(levels):
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


def seeds(count):
    return tf.constant([[3, index] for index in range(count)], tf.int64)


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_decode_gives_what_spec_says_eagerly_and_in_tf_data(resize):
    source = ImageInput(size=(32, 48), resize=resize)
    raws = [png(pixels()), png(pixels(31, 9))]
    dataset = tf.data.Dataset.from_tensor_slices(raws).map(source.decode)

    eager = [source.decode(raw) for raw in raws]

    assert dataset.element_spec == source.spec
    for ours, in_graph in zip(eager, dataset, strict=True):
        assert ours.shape == (32, 48, 3)
        np.testing.assert_array_equal(in_graph, ours)


def test_decode_refuses_a_damaged_file():
    source = ImageInput()

    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid PNG"):
        source.decode(png(pixels())[:-300])


def photo(name, turned=1):
    exif = Image.Exif()
    exif[0x0112] = turned
    file = io.BytesIO()
    Image.fromarray(load_sample_image(f"{name}.jpg")).save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", [(140, 100), (64, 64), (32, 40)], ids=str)
@pytest.mark.parametrize("raw", [photo("china"), photo("flower", turned=6)], ids=["lies", "turned"])
def test_a_photo_decoded_at_a_smaller_scale_is_that_decoded_whole(raw, size, resize):
    source = ImageInput(size=size, resize=resize)

    ours = source.decode(raw).numpy().astype(int)

    whole = resize_images(decode_image(raw)[tf.newaxis], size, resize)[0].numpy()
    assert np.abs(ours - whole).mean() < 2


@pytest.mark.parametrize(
    ("side", "sides"),
    [(143, (640, 427)), (142, (320, 213.5)), (71, (160, 106.75)), (35, (80, 53.375))],
)
def test_a_jpeg_is_decoded_no_smaller_than_the_margin(side, sides):
    pixels, ends = decode_to_scale(photo("china", turned=6), lambda sides: sides / sides[1] * side)

    assert ends.numpy().tolist() == list(sides)
    assert tuple(pixels.shape) == (*np.ceil(sides), 3)


def test_augment_without_augmentations_gives_its_inputs():
    source = ImageInput(size=(50, 70))
    inputs = tf.constant(pixels()[np.newaxis])

    varied = source.augment(inputs, seeds(1))

    assert not source.is_augmented
    assert varied is inputs


def test_augment_gives_bytes_in_the_shape_of_its_inputs():
    source = ImageInput(size=(50, 70), augment=[Flip(), Rotate(degrees=10), Brightness()])
    inputs = tf.constant(np.stack([pixels(seed=seed) for seed in range(6)]))
    dataset = tf.data.Dataset.from_tensors((inputs, seeds(6))).map(source.augment)

    eager = source.augment(inputs, seeds(6))

    assert source.is_augmented
    assert dataset.element_spec == tf.TensorSpec((6, 50, 70, 3), tf.uint8)
    assert (eager.numpy() != inputs.numpy()).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(next(iter(dataset)), eager)


def test_augment_gives_the_same_variant_in_any_batch():
    source = ImageInput(size=(50, 70), augment=[{"kind": "rotate"}, {"kind": "rand_augment"}])
    inputs = tf.constant(np.stack([pixels(seed=seed) for seed in range(6)]))

    whole = source.augment(inputs, seeds(6)).numpy()

    np.testing.assert_array_equal(source.augment(inputs[3:5], seeds(6)[3:5]), whole[3:5])


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_every_signature_gives_the_batch_that_decode_gives(resize):
    source = ImageInput(size=(24, 32), resize=resize)
    levels = np.stack([pixels(seed=1), pixels(seed=2)])
    by_bytes, by_floats, by_integers = source.signatures()

    expected = [source.decode(png(each)) for each in levels]

    sent = {
        by_bytes: tf.constant([png(each) for each in levels]),
        by_floats: tf.constant(levels, tf.float32),
        by_integers: tf.constant(levels),
    }
    for signature, batch in sent.items():
        prepare = tf.function(signature.prepare, input_signature=[signature.spec])
        assert prepare.get_concrete_function().structured_outputs.shape[1:] == source.spec.shape
        np.testing.assert_array_equal(prepare(batch), expected)
        assert prepare(batch[:0]).shape == (0, 24, 32, 3)


def test_a_served_graph_resizes_on_the_cpu_alone():
    by_integers = ImageInput().signatures()[2]
    prepare = tf.function(by_integers.prepare, input_signature=[by_integers.spec])

    operations = prepare.get_concrete_function().graph.get_operations()

    kinds = {"Transpose", "ScaleAndTranslate", "Round", "Cast"}
    devices = [each.device for each in operations if each.type in kinds]
    assert devices
    assert all("CPU" in device for device in devices)


def test_signatures_have_the_names_that_clients_use():
    signatures = ImageInput().signatures()

    found = [(each.name, each.spec.name, each.spec.dtype.name) for each in signatures]
    assert found == [
        ("serving_default", "image_bytes", "string"),
        ("serve_images", "images", "float32"),
        ("serve_images_uint8", "images", "uint8"),
    ]


def test_a_config_calls_the_augmentations_augment():
    config = {"kind": "image", "size": [64, 96], "augment": [{"kind": "flip"}, {"kind": "zoom"}]}

    source = Input.model_validate(config)

    dumped = source.model_dump(by_alias=True)
    assert source.augmentations[0] == Flip()
    assert [each["kind"] for each in dumped["augment"]] == ["flip", "zoom"]
    assert "augmentations" not in dumped
    assert Input.model_validate_json(source.model_dump_json(by_alias=True)) == source


def test_a_fault_in_an_augmentation_is_named_by_its_place_in_the_config():
    config = {"kind": "image", "augment": [{"kind": "flip"}, {"kind": "rotate", "degrees": 500}]}

    with pytest.raises(ValidationError, match="less than or equal to 180") as caught:
        Input.model_validate(config)

    assert caught.value.errors()[0]["loc"] == ("augment", 1, "degrees")


def test_an_unknown_key_is_refused_with_the_one_meant():
    with pytest.raises(ValidationError, match="Did you mean 'augment'"):
        Input.model_validate({"kind": "image", "augmnt": []})


@pytest.mark.parametrize("size", [[0, 10], [10], 10, [10, -1]])
def test_a_size_that_is_not_height_and_width_is_refused(size):
    with pytest.raises(ValidationError, match="size"):
        ImageInput(size=size)
