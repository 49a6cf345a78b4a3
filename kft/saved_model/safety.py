"""Looks at the graph of a SavedModel before it is loaded: does it reach out of TensorFlow?

Loading a SavedModel runs code of its maker, since its tables are initialised then. So the file is
read as data, and what `tf.saved_model.load` and kft would run is followed from function to
function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kft.errors import KftError
from kft.messages import listed
from kft.saved_model.graph import (
    bound_objects,
    calls,
    children,
    functions_of,
    read_graph,
    traces,
)

if TYPE_CHECKING:
    from tensorflow.core.framework.function_pb2 import FunctionDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
    from tensorflow.core.protobuf.saved_object_graph_pb2 import SavedObjectGraph

# Ops that keep state, but only in memory. All others that do are refused.
HARMLESS_STATE = re.compile(
    r"(Assign(Add|Sub)?VariableOp|VarHandleOp|VarIsInitializedOp|ReadVariableOp|VariableShape"
    r"|Variable(V2)?|Resource(Gather|Scatter)\w*|ResourceStridedSliceAssign|GuaranteeConst"
    r"|LookupTable\w+|(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?|InitializeTable(V2)?"
    r"|DestroyResourceOp|StatefulPartitionedCall|If|While|Case|Assert|CheckNumerics(V2)?|Empty"
    r"|(Random|Stateful)(?!\w*Dataset)\w+|TruncatedNormal|ParameterizedTruncatedNormal|Multinomial"
    r"|NonDeterministicInts|Rng\w+|StatelessRandomGetAlg|TensorArray\w*|Stack\w*|CudnnRNN\w*"
    r"|XlaCallModule)"
)
# Ops that are registered as keeping no state and yet reach files, Python or another process.
REACHES_OUT = re.compile(
    r"_\w+|\w*(PyFunc|Dataset)\w*|ReadFile|MatchingFiles|(De|En)codeProto\w*|Debug\w+|Remote\w+"
    r"|(Save|Restore)\w*"
)
READS_TABLE = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
# What `--trust` calls them.
SAVED_MODEL = "saved_model"
RUN_AT_LOADING = ("_create_resource", "_initialize", "_destroy_resource")
INITIALISERS = ("table_initializer", "legacy_init_op", "saved_model_main_op")


# Says which objects of a SavedModel are called.
Called = Callable[["SavedObjectGraph"], list[int | None]]


def refuse_unsafe(
    directory: Path, called: Called, where: str, fix: str, error: type[KftError]
) -> None:
    """Raises `error` if the graph reaches Python, the network or files, or is damaged."""
    from google.protobuf.message import DecodeError

    try:
        found = unsafe_ops(directory, called)
    except DecodeError as damage:
        problem = f"its saved_model.pb is damaged: {damage}"
        raise error(where, problem, "Download the SavedModel again, or give another") from damage
    if found:
        what = "its graph reaches out of TensorFlow, or has ops not known here"
        problem = f"{what}: {listed([name[:80] for name in found])}"
        raise error(where, problem, fix)


def one_signature(signature: str | None) -> Called:
    """Says that a `signature` is called, or if it is None, the object itself and its losses."""

    def called(objects: SavedObjectGraph) -> list[int | None]:
        root = children(objects, 0)
        if signature is None:
            losses = children(objects, root.get("regularization_losses")).values()
            return [root.get("__call__"), *losses]
        return [children(objects, root.get("signatures")).get(signature)]

    return called


def every_signature(objects: SavedObjectGraph) -> list[int | None]:
    """Says that any signature may be called."""
    return list(children(objects, children(objects, 0).get("signatures")).values())


def unsafe_ops(directory: Path, called: Called) -> list[str]:
    """Returns the names of ops that reach Python, the network or files, or are not known.

    Looks at what is run when the SavedModel in `directory` is loaded, and what is `called`
    afterwards. A vocabulary that lies in the SavedModel may be read.
    """
    found: set[str] = set()
    graphs = read_graph(directory).meta_graphs
    # As TensorFlow tells them apart: one with more than one graph is loaded as of TensorFlow 1.
    has_objects = len(graphs) == 1 and graphs[0].HasField("object_graph_def")
    for graph in graphs:
        walk = Walk(graph)
        if has_objects:
            walk.objects(called)
        else:
            walk.first_generation()
        found |= walk.found
        names = [asset.filename for asset in graph.asset_file_def]
        found |= {f"an asset at {name!r}" for name in names if Path(name).name != name}
    return sorted(found)


@dataclass(eq=False)
class Walk:
    """Follows the functions of one graph.

    Attributes:
        found: What reaches out.
    """

    graph: MetaGraphDef
    found: set[str] = field(default_factory=set)
    _seen: set[tuple[str, frozenset[str]]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._functions = functions_of(self.graph)
        self._gradients = {
            gradient.registered_op_type: gradient.gradient_func
            for gradient in self.graph.graph_def.library.registered_gradients
        }

    def objects(self, called: Called) -> None:
        """Walks from what loading and calling an object of TensorFlow 2 runs."""
        objects = self.graph.object_graph_def
        for name in functions_run(objects, called(objects)):
            bound = bound_objects(objects, name, self._functions[name]).items()
            assets = [a for a, number in bound if objects.nodes[number].HasField("asset")]
            self.function(name, frozenset(assets))

    def first_generation(self) -> None:
        """Walks a graph of TensorFlow 1 from what loading and calling run, against its flow.

        What only saves is not reached; what restores may read the variables of this SavedModel.
        """
        given = self.graph.saver_def.filename_tensor_name.split(":")[0]
        nodes = {node.name: node for node in self.graph.graph_def.node}
        assets = frozenset(a.tensor_info.name.split(":")[0] for a in self.graph.asset_file_def)
        waiting, seen = list(starting_points(self.graph)), set()
        while waiting:
            name = waiting.pop().lstrip("^").split(":")[0]
            if name in nodes and name not in seen:
                seen.add(name)
                if not restores(nodes[name], given):
                    self.node(nodes[name], assets)
                waiting.extend(nodes[name].input)

    def function(self, name: str, assets: frozenset[str]) -> None:
        """Looks at a function and all that it calls; `assets` are its arguments that are files."""
        if (name, assets) in self._seen or name not in self._functions:
            return
        self._seen.add((name, assets))
        handed_on = assets | copies(self._functions[name], assets)
        for node in self._functions[name].node_def:
            self.node(node, handed_on)

    def node(self, node: NodeDef, assets: frozenset[str]) -> None:
        """Looks at one op and the functions that it calls."""
        if node.op not in self._functions and reaches_out(node, assets):
            self.found.add(node.op)
        for name, passed in calls(node, self._functions):
            self.function(name, frozenset(a for a, source in passed.items() if source in assets))
        if "_gradient_op_type" in node.attr:
            gradient = node.attr["_gradient_op_type"].s.decode()
            self.function(self._gradients.get(gradient, ""), frozenset())


def restores(node: NodeDef, given: str) -> bool:
    """Says whether an op reads variables from where the loader, by the tensor `given`, says."""
    return bool(node.op == "RestoreV2" and node.input[0].split(":")[0] == given)


def copies(function: FunctionDef, assets: frozenset[str]) -> frozenset[str]:
    """Returns the nodes of `function` that hand one of `assets` on unchanged."""
    return frozenset(
        node.name
        for node in function.node_def
        if node.op == "Identity" and node.input[0].split(":")[0] in assets
    )


def reaches_out(node: NodeDef, assets: frozenset[str]) -> bool:
    """Says whether an op that is no function reaches out, or is not known here."""
    from tensorflow.python.framework import op_def_registry

    if node.op in READS_TABLE:
        return node.input[1].split(":")[0] not in assets
    known = op_def_registry.get(node.op)
    if known is None or REACHES_OUT.fullmatch(node.op):
        return True
    return bool(known.is_stateful) and not HARMLESS_STATE.fullmatch(node.op)


def functions_run(objects: SavedObjectGraph, called: list[int | None]) -> Iterator[str]:
    """Yields the names of the concrete functions that loading and calling run."""
    for number in range(len(objects.nodes)):
        for name, child in children(objects, number).items():
            if name in RUN_AT_LOADING:
                yield from traces(objects, child)
    for each in called:
        yield from traces(objects, each)


def starting_points(graph: MetaGraphDef) -> Iterator[str]:
    """Yields the tensors and ops that a graph of TensorFlow 1 answers and initialises with."""
    for signature in graph.signature_def.values():
        for output in signature.outputs.values():
            yield output.name
    yield graph.saver_def.restore_op_name
    for held in (held for each in graph.collection_def.values() for held in each.bytes_list.value):
        yield from initialisers_of(held)
    for name in INITIALISERS:
        if name in graph.collection_def:
            yield from graph.collection_def[name].node_list.value


def initialisers_of(held: bytes) -> Iterator[str]:
    """Yields the ops that give a variable its first value; of what is no variable, anything."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework.variable_pb2 import VariableDef

    try:
        variable = VariableDef.FromString(held)
    except DecodeError:
        return
    yield from (variable.initializer_name, variable.initial_value_name, variable.snapshot_name)
