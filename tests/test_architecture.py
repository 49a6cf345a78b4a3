"""Rules that hold for every module. Which module may import which stands in setup.cfg."""

import ast
import importlib
import inspect
import io
import re
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kft"
MODULES = sorted(PACKAGE.rglob("*.py"))
# The folders of a modality: those that have an input of their own.
MODALITIES = {path.parent.name for path in PACKAGE.glob("*/input.py")}
WORDS = {
    *("image", "images", "picture", "pictures", "pixel", "pixels"),
    *("token", "tokens", "audio"),
}
KNOW_A_MODALITY = {
    "settings/catalog.py": "names every kind, those of a modality too",
    "cli/backbones.py": "lists those for images",
}


def ids(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def place(path: Path) -> str:
    """The folder of a module of a modality, or the module."""
    folder = path.relative_to(PACKAGE).parts[0]
    return folder if folder in MODALITIES else ids(path)


@pytest.mark.parametrize("module", MODULES, ids=ids)
def test_a_module_fits_on_a_few_screens(module):
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("module", MODULES, ids=ids)
def test_there_is_no_assert_outside_tests(module):
    tree = ast.parse(module.read_text(encoding="utf-8"))

    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize(
    "module",
    [path for path in MODULES if place(path) not in MODALITIES | {*KNOW_A_MODALITY}],
    ids=ids,
)
def test_code_outside_a_modality_does_not_know_it(module):
    assert not (words_of_code(module) & WORDS)


def test_only_modules_that_know_a_modality_are_excepted():
    for name in KNOW_A_MODALITY:
        assert words_of_code(PACKAGE / name) & WORDS, f"{name} needs no exception"


@pytest.mark.parametrize("module", MODULES, ids=ids)
def test_a_public_method_is_documented_by_itself_or_by_its_contract(module):
    name = ".".join(["kft", *module.relative_to(PACKAGE).with_suffix("").parts])

    undocumented = [
        f"{cls}.{method}"
        for cls, method in methods_without_docstring(module)
        if not inspect.getdoc(getattr(getattr(importlib.import_module(name), cls), method))
    ]

    assert undocumented == []


def methods_without_docstring(module: Path) -> list[tuple[str, str]]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return [
        (node.name, inner.name)
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_")
        if not ast.get_docstring(inner)
    ]


def words_of_code(module: Path) -> set[str]:
    """The words of names and strings; prose, in comments and docstrings, may give examples."""
    source = module.read_text(encoding="utf-8")
    prose = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    lines = {number for node in prose for number in range(node.lineno, node.end_lineno + 1)}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        word
        for token in tokens
        if token.type != tokenize.COMMENT and token.start[0] not in lines
        for word in re.findall(r"[a-z]+", token.string.lower())
    }
