import numpy as np
import tensorflow as tf
from pictures import written
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_image

from kft.image.input import ImageInput
from kft.workflows.checking.duplicates import alike

SOURCE = ImageInput(size=(64, 64))


def photo(name="china"):
    return Image.fromarray(load_sample_image(f"{name}.jpg"))


def test_measures_are_sides_and_form_eagerly_and_in_tf_data():
    forms = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"]
    raws = [written(photo().resize((70, 50)), form) for form in forms]
    dataset = tf.data.Dataset.from_tensor_slices(raws).map(SOURCE.measure)

    measured = [SOURCE.measure(raw).numpy().tolist() for raw in raws]

    assert measured == [[50, 70, number, 0] for number in range(len(forms))]
    assert [each.tolist() for each in dataset.as_numpy_iterator()] == measured


def test_measures_say_which_inks_have_no_adobe_segment_eagerly_and_in_tf_data():
    raw = written(photo().resize((70, 50)).convert("CMYK"), "JPEG")
    without = raw.replace(b"\xff\xee\x00\x0eAdobe", b"\xff\xee\x00\x0eOther")
    dataset = tf.data.Dataset.from_tensor_slices([raw, without]).map(SOURCE.measure)

    measured = [SOURCE.measure(each).numpy().tolist() for each in (raw, without)]

    assert measured == [[50, 70, 0, 0], [50, 70, 0, 1]]
    assert [each.tolist() for each in dataset.as_numpy_iterator()] == measured


def test_remarks_name_what_is_wrongly_named_or_far_from_the_target():
    measures = {
        "right.jpg": (64, 80, 0, 0),
        "RIGHT.JPEG": (64, 80, 0, 0),
        "right.jfif": (64, 80, 0, 0),
        "without": (64, 80, 0, 0),
        "other.dat": (64, 80, 0, 0),
        "wrong.jpg": (64, 80, 1, 0),
        "right.tif": (64, 80, 5, 0),
        "phone.jpg": (64, 80, 7, 0),
        "wrong.heic": (64, 80, 0, 0),
        "small.png": (31, 500, 1, 0),
        "large.png": (600, 700, 1, 0),
        "inks.jpg": (64, 80, 0, 1),
    }

    odd = list(SOURCE.remarks(list(measures), np.array(list(measures.values()))))

    assert odd == [
        ("wrong.jpg", "is a PNG, whatever its name says"),
        ("phone.jpg", "is a HEIC, whatever its name says"),
        ("wrong.heic", "is a JPEG, whatever its name says"),
        ("small.png", "is only 500x31 pixels, for a target of 64x64"),
        ("large.png", "has 700x600 pixels, of which few are left: it takes long to read"),
        ("inks.jpg", "is a CMYK JPEG without an Adobe segment: its inks are read as inverted"),
    ]


def test_a_picture_saved_otherwise_is_alike_and_another_is_not():
    china = photo()
    raws = [
        written(china, "PNG"),
        written(china, "JPEG", quality=30),
        written(china.resize((320, 213)), "WEBP", quality=80),
        written(ImageEnhance.Brightness(china).enhance(1.03), "PNG"),
        written(photo("flower"), "PNG"),
        written(china.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"),
    ]

    found = SOURCE.fingerprints(np.stack([SOURCE.decode(raw) for raw in raws]))

    assert [group.members for group in alike(found)] == [(0, 1, 2, 3)]
