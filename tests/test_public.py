"""The public names: each listed once in gradlab/__init__.py, documented, and nothing else visible."""

from __future__ import annotations

import ast
import inspect
import types
from collections import Counter
from pathlib import Path

import pytest

import gradlab

TREE = ast.parse(Path(gradlab.__file__).read_text())
IMPORTS = [node for node in TREE.body if isinstance(node, ast.ImportFrom) and node.module != "__future__"]
NAMES = [alias.asname for node in IMPORTS for alias in node.names]
PUBLIC = {name: getattr(gradlab, name) for name in NAMES if name}

PROMISED = {
    "grad",
    "value_and_grad",
    "jvp",
    "vjp",
    "linearize",
    "linear_transpose",
    "jacfwd",
    "jacrev",
    "jacobian",
    "value_and_jacobian",
    "hessian",
    "hvp",
    "vmap",
    "jit",
    "stop_gradient",
    "checkpoint",
    "custom_jvp",
    "custom_vjp",
    "stage",
    "source",
    "cache_info",
    "cache_clear",
    "numpy",
}


def test_init_is_a_list_of_names_and_nothing_else():
    for node in TREE.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        version = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
        assert docstring or version or isinstance(node, ast.ImportFrom), f"line {node.lineno}: {ast.unparse(node)}"


def test_each_name_is_listed_once_as_itself():
    for node in IMPORTS:
        for alias in node.names:
            assert alias.asname == alias.name, f"line {alias.lineno}: write `{alias.name} as {alias.name}`"
    assert [name for name, times in Counter(NAMES).items() if times > 1] == []


def test_what_is_promised_is_there():
    assert not PROMISED - set(NAMES)


def test_nothing_else_is_visible():
    """Whatever `gradlab.<tab>` shows is in the list, or a floor of the house that importing brought along."""
    visible = {name for name in vars(gradlab) if not name.startswith("_")} - set(NAMES)
    floors = {name for name in visible if isinstance(getattr(gradlab, name), types.ModuleType)}
    assert visible - floors - {"annotations"} == set()


@pytest.mark.parametrize("name", [n for n, value in PUBLIC.items() if callable(value)])
def test_documented(name):
    doc = inspect.getdoc(PUBLIC[name])
    assert doc and doc.strip(), f"gradlab.{name} has no docstring"
    if inspect.isfunction(PUBLIC[name]):
        assert doc.splitlines()[0].rstrip().endswith((".", ":", "?")), "the first line of a docstring is a sentence"


def test_typed():
    assert (Path(gradlab.__file__).parent / "py.typed").exists()
