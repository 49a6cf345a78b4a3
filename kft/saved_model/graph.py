"""Reads the graph of a SavedModel as data, without loading it: what calls what, with what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorflow.core.framework.function_pb2 import FunctionDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.core.protobuf.saved_object_graph_pb2 import SavedObjectGraph

GRAPH = "saved_model.pb"
WRITES = re.compile(r"Assign(Add|Sub)?VariableOp|ResourceScatter\w+|ResourceStridedSliceAssign")


def read_graph(directory: Path) -> SavedModel:
    """Returns the content of the file that holds the graph.

    Raises:
        google.protobuf.message.DecodeError: It is damaged.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    return SavedModel.FromString((directory / GRAPH).read_bytes())


def functions_of(graph: MetaGraphDef) -> dict[str, FunctionDef]:
    """Returns the functions of a graph by name."""
    return {function.signature.name: function for function in graph.graph_def.library.function}


def arguments_of(function: FunctionDef) -> list[str]:
    """Returns the names of the arguments of a function, in order."""
    return [argument.name for argument in function.signature.input_arg]


def calls(
    node: NodeDef, functions: Mapping[str, FunctionDef]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields each function that an op calls, with what is passed for each of its arguments."""
    attributes = node.attr.values()
    named = [called.name for each in attributes for called in (each.func, *each.list.func)]
    given = [source.split(":")[0] for source in node.input if not source.startswith("^")]
    for name in (node.op, *named):
        if name in functions:
            arguments = arguments_of(functions[name])
            # `If` and its like take what decides before what they pass on.
            passed = given[max(len(given) - len(arguments), 0) :]
            yield name, dict(zip(arguments, passed, strict=False))


def bound_objects(objects: SavedObjectGraph, name: str, function: FunctionDef) -> dict[str, int]:
    """Returns the numbers of the objects that a concrete function holds, by argument."""
    bound = objects.concrete_functions[name].bound_inputs
    arguments = arguments_of(function)
    return dict(zip(arguments[len(arguments) - len(bound) :], bound, strict=True))


def children(objects: SavedObjectGraph, number: int | None) -> dict[str, int]:
    """Returns the numbers of the objects that an object has, by name; none of None."""
    if number is None:
        return {}
    return {child.local_name: child.node_id for child in objects.nodes[number].children}


def traces(objects: SavedObjectGraph, number: int | None) -> list[str]:
    """Returns the names of the concrete functions of an object, if it is a function."""
    if number is None:
        return []
    node = objects.nodes[number]
    bare = node.bare_concrete_function.concrete_function_name
    return [*node.function.concrete_functions, *([bare] if bare else [])]


def written_variables(directory: Path) -> frozenset[str]:
    """Returns the names of the variables that calling a SavedModel may change.

    Those are statistics that its training keeps, as of a batch normalisation.
    """
    found: set[str] = set()
    for graph in read_graph(directory).meta_graphs:
        objects, functions = graph.object_graph_def, functions_of(graph)
        root = children(objects, 0) if objects.nodes else {}
        for name in traces(objects, root.get("__call__")):
            bound = bound_objects(objects, name, functions[name])
            written = {bound[a] for a in written_arguments(name, functions, {}) if a in bound}
            found |= {objects.nodes[number].variable.name for number in written}
    return frozenset(found)


def written_arguments(
    name: str, functions: Mapping[str, FunctionDef], known: dict[str, set[str]]
) -> set[str]:
    """Returns the arguments of a function that are variables it writes to; fills `known`."""
    if name not in known:
        known[name] = set()  # a function that calls itself ends here
        arguments = set(arguments_of(functions[name]))
        for node in functions[name].node_def:
            sources = {node.input[0].split(":")[0]} if WRITES.fullmatch(node.op) else set()
            for called, passed in calls(node, functions):
                inner = written_arguments(called, functions, known)
                sources |= {passed[argument] for argument in inner if argument in passed}
            known[name] |= sources & arguments
    return known[name]
