"""What every input promises. A new kind joins by one line in INPUTS."""

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny import Bytes, Flags, Shaken, Varied, Vectors, Words

from kft.errors import ConfigError, DataError
from kft.exporter import as_served
from kft.image.input import ImageInput
from kft.input import Input
from kft.settings.catalog import CATALOG
from kft.sources.arrays.tensors import Tensors


@dataclass(frozen=True, eq=False)
class Case:
    """An input and what the battery asks it.

    Attributes:
        raw: Raw examples, no two alike.
        damaged: Raw examples that cannot be decoded; empty if there are none.
        arrays: Examples as a source holds them that has arrays.
        unfit: Arrays that are no examples; empty if all are.
        has_regions: Whether CutMix can cut something out.
        has_fingerprints: Whether it tells which examples are alike.
        takes_augmentations: Whether a phase may say how its examples are varied.
    """

    input: Input
    raw: list
    damaged: tuple = ()
    arrays: tuple = ()
    unfit: tuple = ()
    has_regions: bool = False
    has_fingerprints: bool = False
    takes_augmentations: bool = False


def pixels(height, width, channels=3):
    chance = np.random.default_rng(height * width)
    return chance.integers(0, 256, (height, width, channels), "uint8")


def as_file(form, height, width):
    file = io.BytesIO()
    Image.fromarray(pixels(height, width)).save(file, form)
    return file.getvalue()


def png(height, width):
    return as_file("PNG", height, width)


NUMBERS = list(np.random.default_rng(0).normal(0, 1, (3, 8)).astype("float32"))
BROKEN = np.full(8, np.nan, "float32")

# The name begins with the kind.
INPUTS = {
    "image": Case(
        ImageInput(size=(8, 12), augment=[{"kind": kind} for kind in CATALOG["augmentation"]]),
        raw=[png(9, 7), png(8, 12), png(30, 40)],
        damaged=(png(9, 7)[:-40], b"", b"a,b\n1,2\n"),
        arrays=(pixels(9, 7), pixels(9, 7, 1), pixels(9, 7)[..., 0]),
        unfit=(np.zeros((9, 7), "float32"), np.zeros((9, 7, 5), "uint8")),
        has_regions=True,
        has_fingerprints=True,
        takes_augmentations=True,
    ),
    "image that is converted": Case(
        ImageInput(size=(8, 12)),
        raw=[as_file("TIFF", 9, 7), as_file("TIFF", 8, 12), as_file("AVIF", 30, 40)],
        damaged=(as_file("TIFF", 9, 7)[:-40], as_file("AVIF", 9, 7)[:60]),
        has_regions=True,
        has_fingerprints=True,
        takes_augmentations=True,
    ),
    "tensors": Case(
        Tensors(shape=(8,)), NUMBERS, arrays=(np.arange(8),), unfit=(np.zeros(9), b"eight")
    ),
    "tensors of one text each": Case(Tensors(shape=(), dtype="string"), [b"a", b"", b"\xff\0"]),
    "tiny:Vectors": Case(Vectors(), NUMBERS, damaged=(BROKEN,)),
    "tiny:Shaken": Case(Shaken(), NUMBERS, damaged=(BROKEN,)),
    "tiny:Varied": Case(Varied(), NUMBERS, damaged=(BROKEN,), takes_augmentations=True),
    "tiny:Words": Case(Words(), [b"low", b"middle", "höher".encode()]),
    "tiny:Flags": Case(Flags(), [each > 0 for each in NUMBERS]),
    "tiny:Bytes": Case(Bytes(), [b"abcd", b"\0\0\0\0", b"efgh"], damaged=(b"abc",)),
}


def each(cases):
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


EACH = each(INPUTS)
DAMAGED = each({name: case for name, case in INPUTS.items() if case.damaged})
CONVERTED = each({name: case for name, case in INPUTS.items() if "converted" in name})
UNFIT = each({name: case for name, case in INPUTS.items() if case.unfit})
TAKES = each({name: case for name, case in INPUTS.items() if case.takes_augmentations})
REFUSES = each({name: case for name, case in INPUTS.items() if not case.takes_augmentations})
CUT = each({name: case for name, case in INPUTS.items() if case.has_regions})
WHOLE = each({name: case for name, case in INPUTS.items() if not case.has_regions})


@cache
def decoded(case):
    """The raw examples as a batch, decoded one by one."""
    return tf.stack([case.input.decode(tf.constant(raw)) for raw in case.raw])


@cache
def graph_of(method):
    """A method of an input in a graph, traced once for each shape of its arguments."""
    return tf.function(method)


@cache
def augment_of(case):
    """The `augment` of an input in a graph for batches of any size, as the engine has it."""
    spec = case.input.spec
    inputs = tf.TensorSpec((None, *spec.shape), spec.dtype)
    seeds = tf.TensorSpec((None, 2), tf.int64)
    return tf.function(case.input.augment, input_signature=[inputs, seeds])


def in_dataset(method, *examples):
    """What `method` gives of each of `examples` inside a dataset, and as what."""
    dataset = tf.data.Dataset.from_tensor_slices(tf.stack(examples)).map(graph_of(method))
    return dataset.element_spec, list(dataset.as_numpy_iterator())


def seeds_of(size):
    return tf.constant([[3, number] for number in range(size)], tf.int64, shape=(size, 2))


def batch_of(case):
    return decoded(case), seeds_of(len(case.raw))


def assert_same(found, expected):
    """Compares as tensors: NumPy's strings lose the zeros at their ends."""
    np.testing.assert_array_equal(tf.constant(found).numpy(), tf.constant(expected).numpy())


def test_every_kind_of_input_is_in_the_battery():
    assert {*CATALOG["input"]} - {name.partition(" ")[0] for name in INPUTS} == set()


@pytest.mark.parametrize("name", INPUTS)
def test_settings_survive_the_way_through_json(name):
    input = INPUTS[name].input

    again = Input.model_validate(input.model_dump(mode="json", by_alias=True))

    assert again == input
    assert again.kind == name.partition(" ")[0]


@EACH
def test_what_is_said_of_files_and_settings_can_be(case):
    endings = [*case.input.file_endings, *case.input.converted_endings]
    assert all(ending.startswith(".") for ending in endings)
    assert [ending.lower() for ending in endings] == endings
    assert len({*endings}) == len(endings)
    assert {*case.input.unused_by_decode} <= {*type(case.input).model_fields}


@EACH
def test_examples_have_one_shape_that_is_known_before(case):
    assert case.input.spec.shape.is_fully_defined()
    assert decoded(case).shape == (len(case.raw), *case.input.spec.shape)
    assert decoded(case).dtype == case.input.spec.dtype


@EACH
def test_decode_gives_the_same_in_a_dataset_as_eagerly(case):
    spec, examples = in_dataset(case.input.decode, *case.raw)

    assert spec == case.input.spec
    assert_same(examples, decoded(case))


@DAMAGED
def test_a_damaged_example_is_an_invalid_argument_eagerly_and_in_a_dataset(case):
    for raw in case.damaged:
        with pytest.raises(tf.errors.InvalidArgumentError):
            case.input.decode(tf.constant(raw))
        with pytest.raises(tf.errors.InvalidArgumentError):
            in_dataset(case.input.decode, raw)


@EACH
def test_an_array_is_encoded_as_decode_takes_it_in_a_dataset_too(case):
    for array in map(tf.constant, case.arrays):
        eager = case.input.encode(array)

        _, (encoded,) = in_dataset(case.input.encode, array)

        assert_same(encoded, eager)
        assert case.input.spec.is_compatible_with(case.input.decode(eager))


@EACH
def test_what_decode_takes_is_encoded_as_it_is(case):
    for raw in map(tf.constant, case.raw):
        assert_same(case.input.encode(raw), raw)


@UNFIT
def test_an_array_that_is_no_example_is_refused(case):
    for array in case.unfit:
        with pytest.raises(DataError):
            case.input.encode(tf.constant(array))


@EACH
def test_augment_keeps_shape_and_dtype_eagerly_and_in_a_graph(case):
    inputs, seeds = batch_of(case)

    eager = case.input.augment(inputs, seeds)

    in_graph = augment_of(case)(inputs, seeds)
    assert (eager.shape, eager.dtype) == (inputs.shape, inputs.dtype)
    assert_same(in_graph, eager)


@EACH
def test_a_variant_depends_on_its_own_seed_and_not_on_its_place(case):
    inputs, seeds = batch_of(case)
    augment, order = augment_of(case), [2, 0, 1]

    whole = augment(inputs, seeds)

    turned = augment(tf.gather(inputs, order), tf.gather(seeds, order))
    assert_same(turned, tf.gather(whole, order))
    assert_same(augment(inputs[1:2], seeds[1:2]), whole[1:2])


@EACH
def test_other_seeds_give_other_variants_if_it_augments_at_all(case):
    inputs, seeds = batch_of(case)
    augment = augment_of(case)

    variants = augment(inputs, seeds).numpy()

    assert (variants != inputs.numpy()).any() == case.input.is_augmented
    assert (variants != augment(inputs, seeds + 7).numpy()).any() == case.input.is_augmented


@EACH
def test_a_batch_of_nothing_is_augmented_to_nothing(case):
    inputs, _ = batch_of(case)

    nothing = augment_of(case)(inputs[:0], seeds_of(0))

    assert nothing.shape == (0, *case.input.spec.shape)


@EACH
def test_the_first_signature_takes_raw_examples_and_gives_what_decode_gives(case):
    signature = case.input.signatures()[0]
    prepare = tf.function(signature.prepare, input_signature=[signature.spec])
    raw = as_served(tf.stack(case.raw).numpy(), case.input)

    batch = prepare(tf.constant(raw))

    assert signature.name == "serving_default"
    assert_same(batch, decoded(case))
    assert prepare(tf.constant(raw)[:0]).shape == (0, *case.input.spec.shape)
    operations = prepare.get_concrete_function().graph.as_graph_def()
    assert "PyFunc" not in str(operations)


@CONVERTED
def test_a_damaged_file_is_refused_in_one_line_when_it_is_converted(case):
    for raw in case.damaged:
        with pytest.raises(ValueError, match=r"\Athis .*\Z"):
            case.input.convert(raw)


@EACH
def test_every_signature_gives_batches_of_examples(case):
    signatures = case.input.signatures()

    assert len({signature.name for signature in signatures}) == len(signatures)
    for signature in signatures:
        prepare = tf.function(signature.prepare, input_signature=[signature.spec])
        given = prepare.get_concrete_function().structured_outputs
        assert signature.spec.shape[0] is None
        assert given.shape.as_list() == [None, *case.input.spec.shape]
        assert given.dtype == case.input.spec.dtype


@TAKES
def test_the_augmentations_of_a_phase_take_the_place_of_its_own_and_nothing_else_changes(case):
    standard = case.input.with_augmentations(case.input.standard_augmentations)
    none = case.input.with_augmentations(())

    varied = standard.augment(*batch_of(case)).numpy()

    assert (standard.is_augmented, none.is_augmented) == (True, False)
    assert not np.array_equal(varied, decoded(case))
    assert_same(none.augment(*batch_of(case)), decoded(case))
    for other in (standard, none):
        assert other.spec == case.input.spec
        assert_same(other.decode(tf.constant(case.raw[0])), decoded(case)[0])


@REFUSES
def test_an_input_that_takes_no_augmentations_says_so(case):
    assert case.input.standard_augmentations == ()
    with pytest.raises(ConfigError, match=r"augment: the input .* takes no augmentations from a"):
        case.input.with_augmentations(())


@CUT
def test_a_region_depends_on_its_own_seed_and_fits_the_examples(case):
    shares, seeds = tf.constant([0.0, 0.5, 0.5]), seeds_of(3)

    regions = case.input.regions(shares, seeds)

    assert regions.dtype == tf.bool
    assert len(regions.shape) == 1 + len(case.input.spec.shape)
    assert tf.broadcast_static_shape(regions.shape, decoded(case).shape) == decoded(case).shape
    assert not regions[0].numpy().any()
    assert regions[1].numpy().any()
    assert_same(case.input.regions(shares[1:], seeds[1:]), regions[1:])


@WHOLE
def test_an_input_without_regions_says_so(case):
    with pytest.raises(ConfigError, match="cutmix: the input .* has no regions"):
        case.input.regions(tf.constant([0.5]), seeds_of(1))


@EACH
def test_measures_are_the_same_in_a_dataset_as_eagerly_and_can_be_remarked_on(case):
    names = [f"example {number}" for number in range(len(case.raw))]

    eager = tf.stack([case.input.measure(tf.constant(raw)) for raw in case.raw])

    _, measures = in_dataset(case.input.measure, *case.raw)
    assert (eager.dtype, eager.shape.rank) == (tf.int64, 2)
    assert_same(measures, eager)
    for name, remark in case.input.remarks(names, eager.numpy()):
        assert name in names
        assert len(remark.splitlines()) == 1


@EACH
def test_fingerprints_of_the_same_examples_are_the_same_in_any_batch(case):
    inputs = decoded(case).numpy()

    prints = case.input.fingerprints(inputs)

    assert (prints is not None) == case.has_fingerprints
    if prints is not None:
        part = case.input.fingerprints(inputs[1:])
        assert (prints.hashes.dtype, prints.hashes.shape) == (np.uint64, (len(inputs),))
        assert (prints.sketches.dtype, len(prints.sketches)) == (np.uint8, len(inputs))
        np.testing.assert_array_equal(part.hashes, prints.hashes[1:])
        np.testing.assert_array_equal(part.sketches, prints.sketches[1:])
