"""The house stands: imports point down only, sit at the top of the file, and name public modules; files stay short."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gradlab"

# The floors from the ground up. Floors on one line do not see each other.
FLOORS = (
    {"ir"},
    {"trace"},
    {"ops"},
    {"transforms"},
    {"passes"},
    {"lower"},
    {"control"},
    {"api"},
    {"numpy"},
    {"random", "scipy"},
    {"interop", "sparse", "optim", "tools"},
    {"__init__", "__main__"},
)
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
MAX_LINES = 500
OWN_OR_STANDARD = {"gradlab", *sys.stdlib_module_names}

LIBRARY = sorted(PACKAGE.rglob("*.py"))
EVERY = LIBRARY + sorted(f for d in ("tests", "examples", "benchmarks") for f in (ROOT / d).rglob("*.py"))


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> list[str]:
    """`gradlab/ir/graph.py` -> [gradlab, ir, graph]; a package's `__init__` is a module of that package."""
    return list(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, dotted absolute name) of all that the file imports, now or `Later`; `from m import n` counts as m.n."""
    here = module_of(path)
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            found += [(node.lineno, ".".join([*base, alias.name])) for alias in node.names]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Later":
            found += [(node.lineno, ast.literal_eval(node.args[0]))]
    return found


def floor(module: list[str]) -> str:
    return module[1] if len(module) > 1 else "__init__"


def test_every_file_has_a_floor():
    assert LIBRARY
    unknown = {label(f) for f in LIBRARY if floor(module_of(f)) not in LEVEL}
    assert not unknown, f"{unknown} stand on no floor: move them, or add the floor to FLOORS and to CONTRIBUTING.md"


@pytest.mark.parametrize("path", LIBRARY, ids=label)
def test_imports_point_down(path):
    own = floor(module_of(path))
    wrong = [
        f"line {line}: {own} imports {name}"
        for line, name in imports(path)
        if (parts := name.split("."))[0] == "gradlab"
        and floor(parts) != own
        and not (floor(parts) in LEVEL and LEVEL[floor(parts)] < LEVEL[own])
    ]
    assert not wrong


@pytest.mark.parametrize("path", [f for f in LIBRARY if floor(module_of(f)) == "ir"], ids=label)
def test_the_ground_floor_knows_no_jax(path):
    assert not [name for _, name in imports(path) if name.split(".")[0] in ("jax", "jaxlib", "optax")]


@pytest.mark.parametrize("path", EVERY, ids=label)
def test_only_public_modules_of_others(path):
    private = [
        (line, name)
        for line, name in imports(path)
        if (parts := name.split("."))[0] not in OWN_OR_STANDARD
        and any(p.startswith("_") and not p.endswith("__") for p in parts)
    ]
    assert not private
    assert ".".join(("jax", "_src")) not in path.read_text()


@pytest.mark.parametrize("path", EVERY, ids=label)
def test_imports_stand_at_the_top(path):
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    inside = [n.lineno for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)]
    called = [
        n.lineno
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and ast.unparse(n.func).split(".")[-1] in ("__import__", "import_module")
    ]
    assert not inside, f"imports inside a function, lines {inside}"
    by_name = path == PACKAGE / "ir" / "extras.py" or path.is_relative_to(ROOT / "tests")
    assert not called or by_name, f"modules imported by name, lines {called}"


@pytest.mark.parametrize("path", EVERY, ids=label)
def test_no_star_imports(path):
    assert not [line for line, name in imports(path) if name.endswith("*")]


@pytest.mark.parametrize("path", EVERY, ids=label)
def test_files_stay_short(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES, f"{lines} lines: look for the noun that wants a file of its own"


@pytest.mark.parametrize("path", LIBRARY, ids=label)
def test_a_file_opens_with_its_idea(path):
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "the first line says the file's one idea"
