"""No primitive is untested: the registry against every table of cases."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import gradlab
import tests.ops
from gradlab.ir.primitive import REGISTRY, Primitive, Refused

for module in pkgutil.walk_packages(gradlab.__path__, "gradlab."):
    importlib.import_module(module.name)

MODULES = [importlib.import_module(f"tests.ops.{path.stem}") for path in Path(tests.ops.__path__[0]).glob("test_*.py")]


def test_no_primitive_is_untested():
    named = {key.split(".")[0] for module in MODULES for key in getattr(module, "CASES", ())}
    # What carries programs or functions, and what refuses every rule, is tested by what it does to them
    # (tests/api/test_custom.py, tests/interop).
    plain = {n for n, p in REGISTRY.items() if not p.graphs and not p.native and not _refuses(p)}
    assert not plain - named, f"no case in tests/ops for {sorted(plain - named)}"
    assert not named - REGISTRY.keys(), f"cases for what is no primitive: {sorted(named - REGISTRY.keys())}"


def _refuses(primitive: Primitive) -> bool:
    return isinstance(primitive.jvp, Refused) and isinstance(primitive.batch, Refused)


def test_every_slot_is_filled():
    for primitive in REGISTRY.values():
        assert isinstance(primitive, Primitive)
        for slot in ("infer", "emit", "jvp", "transpose", "batch", "cost"):
            assert callable(getattr(primitive, slot)), f"{primitive}.{slot}"
