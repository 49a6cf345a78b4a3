import json
from pathlib import Path

import hub_modules
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from kft.backbones.tf_hub import TfHub
from kft.cli.main import main
from kft.config.run_config import load_config
from kft.errors import BackboneError, ConfigError
from kft.saved_model.safety import one_signature, unsafe_ops
from kft.workflows.predict import predict


def runs_python(x):
    return tf.ensure_shape(tf.py_function(lambda value: value, [x], tf.float32), x.shape)


def runs_python_one_function_down(x):
    return tf.cond(tf.reduce_sum(x) > 0, lambda: runs_python(x), lambda: x)


def reads_a_file(x):
    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def writes_a_file(x):
    tf.print(x, output_stream="file:///dev/null")
    return x


def lists_a_folder(x):
    return x + tf.cast(tf.size(tf.io.matching_files("/*")), tf.float32)


def makes_a_dataset(x):
    return tf.data.Dataset.from_tensors(x).reduce(x, lambda _, value: value)


@tf.custom_gradient
def runs_python_in_its_gradient(x):
    return tf.identity(x), runs_python


@pytest.mark.parametrize(
    ("does", "op"),
    [
        (runs_python, "EagerPyFunc"),
        (runs_python_one_function_down, "EagerPyFunc"),
        (reads_a_file, "ReadFile"),
        (writes_a_file, "PrintV2"),
        (lists_a_folder, "MatchingFiles"),
        (makes_a_dataset, "TensorDataset"),
    ],
)
def test_a_graph_that_reaches_out_is_refused_before_it_is_loaded(does, op, tmp_path):
    path = hub_modules.save_doubles(tmp_path, does)

    with pytest.raises(BackboneError, match=f"reaches out of TensorFlow.*{op}.*backbone.trust"):
        TfHub(handle=path).load(tf.TensorSpec((8,)))


def test_a_trusted_graph_may_reach_out(tmp_path):
    path = hub_modules.save_doubles(tmp_path, writes_a_file)

    backbone = TfHub(handle=path, trust=True).load(tf.TensorSpec((8,)))

    assert backbone.model.output_shape == (None, 8)


def test_a_gradient_is_followed(tmp_path):
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    path = hub_modules.save_doubles(tmp_path, runs_python_in_its_gradient, options)

    assert unsafe_ops(Path(path), one_signature(None)) == ["EagerPyFunc"]


class Opening(tf.saved_model.experimental.TrackableResource):
    """Reads a file when it is loaded, before anything is called."""

    def _create_resource(self):
        return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

    @tf.function(input_signature=[])
    def _initialize(self):
        tf.io.read_file("/etc/hostname")
        return 1


def test_what_runs_at_loading_is_followed(tmp_path):
    module = tf.Module()
    module.resource = Opening()
    tf.saved_model.save(module, str(tmp_path))

    assert unsafe_ops(tmp_path, one_signature(None)) == ["ReadFile"]


def test_what_is_saved_but_never_run_is_passed_over(tmp_path):
    module = tf.Module()
    module.kernel = tf.Variable(1.0)  # brings SaveV2 and RestoreV2
    module.unused = tf.function(runs_python, input_signature=[tf.TensorSpec((None, 8))])
    tf.saved_model.save(module, str(tmp_path))

    assert unsafe_ops(tmp_path, one_signature(None)) == []


def test_a_vocabulary_may_be_read_only_inside_the_module(tmp_path):
    (tmp_path / "inside").mkdir()
    inside = hub_modules.save_reusable(tmp_path / "inside")
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def call(words):
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename="/etc/hostname", key_index=-2, value_index=-1
        )
        return tf.raw_ops.LookupTableFindV2(
            table_handle=table, keys=words, default_value=tf.constant(0, tf.int64)
        )

    module.__call__ = call
    tf.saved_model.save(module, str(tmp_path / "outside"))

    assert unsafe_ops(Path(inside), one_signature(None)) == []
    assert unsafe_ops(tmp_path / "outside", one_signature(None)) == [
        "InitializeTableFromTextFileV2"
    ]


def test_an_asset_with_a_path_is_refused(tmp_path):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = Path(hub_modules.save_reusable(tmp_path))
    saved = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    saved.meta_graphs[0].asset_file_def[0].filename = "../../secret"
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())

    assert unsafe_ops(path, one_signature(None)) == ["an asset at '../../secret'"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("does", "found"), [(tf.identity, []), (reads_a_file, ["ReadFile"])])
def test_a_graph_of_tensorflow_1_is_followed_from_its_outputs(does, found, tmp_path):
    path = hub_modules.save_first_generation(tmp_path, does)

    assert unsafe_ops(Path(path), one_signature(None)) == found


def test_a_signature_is_followed_when_it_is_called(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec((None, 8), tf.float32)
    serve = tf.function(lambda x: {"y": reads_a_file(x)}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures={"serve": serve})

    assert unsafe_ops(tmp_path, one_signature("serve")) == ["ReadFile"]
    assert unsafe_ops(tmp_path, one_signature(None)) == []


class Served(tf.Module):
    """Answers in its signatures, one of which writes a file."""

    def __init__(self, file):
        super().__init__()
        self.file = file

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def harmless(self, image_bytes):
        size = tf.shape(image_bytes)[0]
        return {"classes": tf.fill((size, 1), "cat"), "scores": tf.ones((size, 1))}

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32)])
    def writing(self, numbers):
        tf.io.write_file(self.file, "written")
        return {"probabilities": numbers}


@pytest.fixture
def writing(tmp_path):
    """A SavedModel that writes a file if one of its signatures is called, and that file."""
    file = tmp_path / "written"
    module = Served(str(file))
    signatures = {"serving_default": module.harmless, "other": module.writing}
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)
    file.unlink(missing_ok=True)
    return tmp_path / "model", file


def test_predicting_refuses_a_program_that_reaches_out_in_any_signature(writing):
    model, file = writing
    example = np.zeros(8, "float32")

    with pytest.raises(ConfigError, match="out of TensorFlow.*WriteFile.*--trust saved_model"):
        predict(model, [example])

    assert not file.exists()
    assert len(predict(model, [example], trust=True)) == 1
    assert file.exists()


def test_the_command_line_takes_trust_to_predict(writing):
    model, file = writing
    words = ["predict", str(model), str(model / "fingerprint.pb"), "--json"]

    refused = CliRunner().invoke(main, words)
    trusted = CliRunner().invoke(main, [*words, "--trust", "saved_model"])

    assert (refused.exit_code, trusted.exit_code) == (2, 0)
    assert "add --trust saved_model" in refused.output
    assert json.loads(trusted.stdout)["prediction"] == "cat"
    assert not file.exists()


def test_predicting_with_a_damaged_program_says_so(writing):
    model, _ = writing
    (model / "saved_model.pb").write_bytes(b"\xff" * 99)

    with pytest.raises(ConfigError, match="its saved_model.pb is damaged"):
        predict(model, [])


def test_a_config_cannot_vouch_for_its_own_program(tmp_path):
    path = hub_modules.save_doubles(tmp_path, writes_a_file)
    backbone = {"kind": "tf_hub", "handle": str(path), "trust": True}
    settings = {"data": {"kind": "digits"}, "backbone": backbone}

    with pytest.raises(ConfigError, match="backbone.trust: would run .* add --trust saved_model"):
        load_config(settings, trust=())

    assert load_config(settings, trust=("saved_model",)).backbone.trust
    assert load_config(settings).backbone.trust


def changed(path, change):
    """Changes what a SavedModel says of itself."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    change(saved)
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())


def restores_by_reading(saved):
    (graph,) = saved.meta_graphs
    node = graph.graph_def.node.add(name="name", op="Const")
    node.attr["dtype"].type = tf.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/hostname"))
    graph.graph_def.node.add(name="read", op="ReadFile").input.append("name")
    graph.saver_def.restore_op_name = "read"


def is_loaded_as_of_tensorflow_1(saved):
    restores_by_reading(saved)
    saved.meta_graphs[0].object_graph_def.nodes.add()
    saved.meta_graphs.add()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("change", [restores_by_reading, is_loaded_as_of_tensorflow_1])
def test_what_restoring_a_graph_of_tensorflow_1_runs_is_followed(change, tmp_path):
    path = Path(hub_modules.save_first_generation(tmp_path, tf.identity))
    changed(path, change)

    assert unsafe_ops(path, one_signature(None)) == ["ReadFile"]


def test_a_program_that_cannot_be_loaded_is_one_message(writing):
    model, _ = writing
    (model / "variables/variables.index").unlink()

    with pytest.raises(ConfigError, match="TensorFlow cannot load it"):
        predict(model, [], trust=True)
