"""docs/coverage.md is what docs/coverage.py would write, and each absence has its reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import jax
import numpy as np

FILE = Path(__file__).resolve().parent.parent / "docs" / "coverage.py"
spec = importlib.util.spec_from_file_location("coverage_page", FILE)
assert spec is not None and spec.loader is not None
coverage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(coverage)


def test_every_absence_has_a_reason():
    absent = {name.rpartition(".")[2] for name, _, how in coverage.rows() if how == coverage.ABSENT}
    assert not absent - coverage.REASONS.keys(), "no reason in docs/coverage.py"


def test_nothing_of_jax_numpy_is_missing():
    assert not [name for name, here, how in coverage.rows() if here["jax.numpy"] and how == coverage.ABSENT]


def test_the_page_is_up_to_date():
    text = coverage.PAGE.read_text()
    if f"JAX {jax.__version__} and NumPy {np.__version__};" in text:  # other versions have other functions
        assert text == coverage.page(), "run python docs/coverage.py"
    else:
        missing = [name for name, here, _ in coverage.rows() if here["jax.numpy"] and f"`{name}`" not in text]
        assert len(missing) < 20, missing
